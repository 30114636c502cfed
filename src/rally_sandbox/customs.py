"""The fields that the sample company has added to its stories and defects (rally-api-notes.md#custom-fields)."""

#: Display names by element name: the display name was changed after the field was made, so they need not match.
CUSTOM_NAMES = {
    "c_RiskLevel": "Risk Level",
    "c_NeededBy": "Needed By",
    "c_Reviewer": "Reviewer",
    "c_CustomerReference": "Customer ref. no.",
    "c_Score": "Score",
    "c_Regulatory": "Regulatory",
    "c_Original": "Copied from",
    "c_FirstSprint": "First Sprint",
}

#: The values that the drop-down allows.
RISK_LEVELS = ("None", "Low [1]", "Medium", "High, or unknown")

#: Which of them hold dates, drop-downs, or references to records and to work items.
CUSTOM_DATES = frozenset({"c_NeededBy"})
CUSTOM_CHOICES = frozenset({"c_RiskLevel"})
CUSTOM_RECORDS = {"c_Reviewer": "User", "c_FirstSprint": "Iteration"}
CUSTOM_ITEMS = frozenset({"c_Original"})
CUSTOM_NUMBERS = frozenset({"c_Score"})
