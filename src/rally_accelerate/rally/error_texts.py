"""What the texts of ``Errors[]`` mean, and how much of them is repeated; pure.

See rally-api-notes.md#errors-in-answers and rally-api-notes.md#access-to-snapshots.
"""

import html
import re

from rally_accelerate.errors import AccessRefused, NotFound, RallyAccelerateError, Rejected, Unavailable

#: Longer texts of the service are cut for messages.
EXCERPT_LENGTH = 200


#: States of subscriptions and accounts. Rally's own words for them are not public; these are assumed.
_ACCOUNTS: tuple[tuple[str, str], ...] = (
    (
        r"subscription[^.]{0,60}\b(disabled|(not |in)active|suspended|expired|deactivated|terminated|closed)\b",
        (
            "Have the subscription activated by its administrator or Rally's support, and check that the key is of the "
            "right subscription. No setting here helps."
        ),
    ),
    (
        r"password[^.]{0,40}\b(expired|must be (changed|reset)|needs to be (changed|reset))\b",
        "Sign in to Rally in a browser with this user and choose a new password, or use an apiKey.",
    ),
    (
        r"\b(account|user|login)\b[^.]{0,60}\b(disabled|locked|(not |in)active|deactivated|suspended)\b",
        "Ask a subscription administrator to enable or unlock this user, or use a key of another one.",
    ),
)


def account_hint(text: str) -> str:
    """Return what to do about the state of a subscription or an account that a text speaks of; empty for none."""
    return next((hint for pattern, hint in _ACCOUNTS if re.search(pattern, text, re.IGNORECASE)), "")


def error_of(text: str, asked: str) -> RallyAccelerateError:
    """The error that a text of ``Errors[]`` stands for.

    See rally-api-notes.md#errors-in-answers and rally-api-notes.md#access-to-snapshots.
    """
    for pattern, kind, hint in _ERROR_TEXTS:
        if re.search(pattern, text, re.IGNORECASE):
            return kind(f'Rally says about {asked}: "{excerpt(text)}".', hint=hint)
    if hint := account_hint(text):
        return AccessRefused(f'Rally refuses {asked}: "{excerpt(text)}".', hint=hint)
    return Rejected(
        f'Rally refuses {asked}: "{excerpt(text)}".',
        hint="Check the extra filter (query), types and projects.",
    )


_ERROR_TEXTS: tuple[tuple[str, type[RallyAccelerateError], str], ...] = (
    (
        r"Cannot find object to read|Could not read: Could not read",
        NotFound,
        "The object was deleted, or this user may not see it: check workspace, projects and rights.",
    ),
    (
        r"Could not find (the )?attribute",
        Rejected,
        "The extra filter (query) names a field that this type does not have; custom fields begin with c_.",
    ),
    (
        r"Could not parse|Error parsing expression|Unknown operator",
        Rejected,
        "Check the extra filter (query): every condition in parentheses, and each AND or OR joining exactly two.",
    ),
    (
        r"Invalid key",
        AccessRefused,
        (
            "Something on the way adds cookies or caches answers (a proxy), or the key is not allowed here: use an "
            "apiKey and bypass caching proxies."
        ),
    ),
    (
        r"type name .* is unknown",
        NotFound,
        "Check types: this workspace has no such type. Portfolio levels are written PortfolioItem/<level>.",
    ),
    (
        r"Unauthorized for projects|Not authorized",
        AccessRefused,
        "Give the user of this key or login at least viewer rights in the workspace and its projects.",
    ),
    (
        r"Concurrency ?conflict|Modified since read",
        Unavailable,
        "The data was changed at the same moment.",
    ),
)

#: API keys and session ids: a long run of key characters behind an underscore, or a named one.
_SECRETS = re.compile(r"(?<![A-Za-z0-9])_[A-Za-z0-9]{20,}|(?i:\b(key|token|zsessionid|password)=)[^\s&\"'<]+")


def excerpt(text: str) -> str:
    """A short piece of the service's own words, fit for a message: no markup, no blanks in rows, no keys."""
    plain = re.sub(r"(?is)<(script|style|title)\b.*?(</\1>|$)|<!--.*?(-->|$)", " ", text)
    plain = html.unescape(re.sub(r"<[^>]*(>|$)", " ", plain))
    # Control and direction characters could rewrite a terminal's line.
    plain = "".join(char if char.isprintable() else " " for char in plain)
    plain = _SECRETS.sub(lambda found: f"{found[1]}=***" if found[1] else "***", " ".join(plain.split()))
    return plain if len(plain) <= EXCERPT_LENGTH else f"{plain[: EXCERPT_LENGTH - 1]}…"
