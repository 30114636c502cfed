"""Sample texts and names of the sample company; none of them contains a label of a revision text."""

#: Names of flow states per flavor of project, with their ScheduleStates. Brackets in names occur in practice
#: (rally-api-notes.md#revision-examples). Every flavor has two states for work in progress.
FLOWS: tuple[tuple[tuple[str, str], ...], ...] = (
    (
        ("Idea", "Idea"),
        ("Defined", "Defined"),
        ("In-Progress", "In-Progress"),
        ("In Review", "In-Progress"),
        ("Completed", "Completed"),
        ("Accepted", "Accepted"),
        ("Released", "Released"),
    ),
    (
        ("Inbox", "Idea"),
        ("Ready [for work]", "Defined"),
        ("BUILD/CODE", "In-Progress"),
        ("BUILD/CHECK", "In-Progress"),
        ("Deployed to Stage/Perf", "Completed"),
        ("DONE [SIGNED OFF]", "Accepted"),
        ("DONE [DEPLOYED]", "Released"),
    ),
)

SCHEDULE_STATES = ("Idea", "Defined", "In-Progress", "Completed", "Accepted", "Released")

#: Areas below the root, and the teams below each area. "Support" exists twice on purpose
#: (rally-api-notes.md#ambiguous-names).
AREAS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Platform", ("Team Amber", "Team Birch", "Team Cobalt", "Support")),
    ("Payments & Billing", ("Team Dune", 'Team "Quartz"', "Mobile, Web and Desk", "Support")),
    ("Customer's Corner", ("100% Quality", "Équipe Été", "チーム青", "Команда Север")),
)
CLOSED_TEAM = "Team Retired"
ARCHIVE_TEAMS = ("Team Fern", "Team Granite", "Team Heron", "Team Indigo")

TAGS = (
    "sample",
    "urgent",
    "needs-data",
    "customer request",
    "[US Quality] 28/100 - KO",
    "[checked]",
    "A, B and C",
    "R&D",
    "50% done",
    "étiquette",
)
MILESTONES = ("Beta, wave 1", "(sample) Summer fair", "Year end", "Audit & checks")

VERBS = (
    "Export",
    "Import",
    "Show",
    "Hide",
    "Archive",
    "Validate",
    "Sort",
    "Filter",
    "Print",
    "Share",
    "Cache",
    "Audit",
)
THINGS = (
    "the sample report",
    "the demo invoice",
    "the example price list",
    "the test customer's address",
    "the sample order & its lines",
    "the demo calendar",
    "the example stock <10 pieces>",
    "the sample photo",
    "the demo budget",
    "the example contract",
)
WAYS = (
    "as CSV",
    "as PDF",
    "by mail",
    "on the phone",
    "for 100% of the users",
    "in the night job",
    "with one click",
    "in both languages",
    "[draft]",
    "for the auditors, again",
)
FAULTS = (
    "Wrong total in",
    "Blank page after opening",
    "Slow answer from",
    "Missing column in",
    "Crash while printing",
    "Typing error in",
)
CHORES = ("Write tests for", "Review", "Document", "Measure", "Clean up", "Prepare data for")
THEMES = ("Sample reporting", "Demo checkout", "Example stock keeping", "Sample self-service", "Demo accounts")
REASONS = (
    "waiting for test data",
    "needs an answer from the sample vendor, then a decision",
    "environment is down [again]",
    "blocked by another team",
)
PRIORITIES = ("Resolve Immediately", "High Attention", "Normal", "Low")
SEVERITIES = ("Crash/Data Loss", "Major Problem", "Minor Problem", "Cosmetic")
RESOLUTIONS = ("Code Change", "Configuration Change", "Duplicate", "Not a Defect")
ENVIRONMENTS = ("Production", "Staging", "Test")
POINTS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
FEATURE_STATES = ("Discovering", "Developing", "Measuring", "Done")
