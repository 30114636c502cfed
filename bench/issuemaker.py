"""Plausible issues by the hundred thousand: what a large company's Rally brings, from a seed."""

import random
from collections.abc import Iterator
from typing import Any

#: 2026-01-01 in milliseconds since 1970, from which everything lies back.
END_MS = 1_767_225_600_000
DAY_MS = 86_400_000

TRACKERS = ("bench-rally-north", "bench-rally-south", "bench-rally-east")
TENANT = "5ade13625558f2c6688d15ce"
STATUSES = ("Idea", "Defined", "In-Progress", "Completed", "Accepted", "Released")
WEIGHTS = (5, 20, 10, 10, 45, 10)
TYPES = ("Story", "Defect", "Feature", "Task", "Epic")
PRIORITIES = ("None", "Low", "Normal", "High Attention", "Resolve Immediately")
FIRST = ("Ann", "Ben", "Carla", "Dinesh", "Eva", "Femi", "Grace", "Hiro", "Ines", "Jón", "Kofi", "Lena", "Mei", "Nils")
LAST = ("Abara", "Bakker", "Cohen", "Dvořák", "Eriksson", "Fuentes", "Gupta", "Haas", "Ito", "Jensen", "Kaya", "Löwe")
SAID = (
    "account address alert archive balance batch billing browser budget button cache calendar card cart "
    "chart checkout claim client column confirm contract coupon credit customer dashboard deadline "
    "delivery device discount document draft email error export filter folder form gateway header history "
    "import index invoice item label ledger limit list login mailing margin market menu message meter "
    "mobile notice number offer order page partner password payment period phone portal price printer "
    "profile query quota rate receipt record refund region report request reset return review role route "
    "rule sample scanner schedule screen search sensor server session shipping signal statement stock "
    "supplier survey table tariff tax template terminal ticket timer token total tracker transfer "
    "translation trial update upload usage vendor view voucher warehouse warning widget workflow "
)
WORDS = SAID.split()
PEOPLE = [f"{first} {last}" for first in FIRST for last in LAST]
PROJECTS = [f"{word.title()} Team {number}" for number, word in enumerate(WORDS[:60])]
LABELS = [f"{word}-{number}" for number, word in enumerate(WORDS[60:120])]


def items(first: int, count: int, *, changes: int = 10, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Issues as input objects.

    Args:
        first: The number of the first.
        count: How many.
        changes: Entries in the history of each.
        seed: Another one makes other issues of the same numbers.
    """
    for number in range(first, first + count):
        yield _item(number, random.Random(seed * 1_000_003 + number), changes)


def _item(number: int, chance: random.Random, changes: int) -> dict[str, Any]:
    created = END_MS - chance.randrange(1, 1_500) * DAY_MS - chance.randrange(DAY_MS)
    moments = sorted(chance.randrange(created, END_MS) for _ in range(changes))
    status = chance.choices(STATUSES, WEIGHTS)[0]
    kind = chance.choices(TYPES, (50, 25, 5, 18, 2))[0]
    project = chance.randrange(len(PROJECTS))
    quarter = (created // (91 * DAY_MS)) % 40
    return {
        "_id": str(40_000_000_000 + number),
        "id": f"{ {'Defect': 'DE', 'Feature': 'F', 'Task': 'TA', 'Epic': 'E'}.get(kind, 'US') }{number}",
        "name": _said(chance, 6).capitalize(),
        "description": f"{_said(chance, 60).capitalize()}.",
        "status": status,
        "url": f"https://rally.example/#/detail/userstory/{40_000_000_000 + number}",
        "creator": chance.choice(PEOPLE),
        "owner": chance.choice(PEOPLE) if chance.random() < 0.9 else None,
        "created": created,
        "lastUpdate": moments[-1] if moments else created,
        "type": kind,
        "normalizedType": {"Feature": "FEATURE", "Epic": "EPIC"}.get(kind, "OTHER"),
        "priority": chance.choices(PRIORITIES, (40, 15, 30, 10, 5))[0],
        "storyPoints": float(chance.choice((1, 2, 3, 5, 8, 13))) if chance.random() < 0.6 else None,
        "labels": chance.sample(LABELS, chance.choice((0, 0, 1, 2, 3))),
        "components": [],
        "versionIds": [],
        "sprints": [{"id": str(900 + quarter), "name": f"Sprint {quarter}.{project % 6}", "active": quarter == 39}]
        if chance.random() < 0.7
        else [],
        "releases": [{"id": str(quarter), "name": f"Release {quarter}", "released": quarter < 36}]
        if chance.random() < 0.5
        else [],
        "comments": [
            {"id": str(each), "user": chance.choice(PEOPLE), "created": created, "comment": _said(chance, 12)}
            for each in range(chance.choice((0, 0, 0, 1, 2)))
        ],
        "relations": [{"id": str(40_000_000_000 + chance.randrange(number + 1)), "type": "PARENT"}],
        "project": {"id": str(7_000 + project), "key": str(7_000 + project), "name": PROJECTS[project]},
        "rawIssue": {
            "ScheduleState": status,
            "FlowState": f"{status} flow",
            "Severity": chance.choice(("Cosmetic", "Minor", "Major", "Crash", None)),
            "Environment": chance.choice(("Production", "Test", "None")),
            "Blocked": chance.random() < 0.05,
            "BlockedReason": _said(chance, 8) if chance.random() < 0.05 else None,
            "Ready": chance.random() < 0.3,
            "Expedite": False,
            "AcceptedDate": f"20{chance.randrange(22, 26)}-0{chance.randrange(1, 10)}-15T10:00:00.000Z",
            "OpenedDate": f"20{chance.randrange(22, 26)}-0{chance.randrange(1, 10)}-15T10:00:00.000Z",
            "c_Customer": f"Customer {chance.randrange(3_000)}",
            "c_Risk": chance.choice(("Low", "Medium", "High")),
            "c_Value": chance.randrange(100),
        },
        "history": [
            {
                "timestamp": moment,
                "content": {
                    "field": chance.choice(("status", "status", "owner", "priority", "sprint", "storyPoints")),
                    "type": "string",
                    "from": chance.choice(STATUSES),
                    "to": chance.choice(STATUSES),
                    "user": chance.choice(PEOPLE),
                    "userDisplayName": chance.choice(PEOPLE),
                },
            }
            for moment in moments
        ],
    }


def _said(chance: random.Random, length: int) -> str:
    return " ".join(chance.choices(WORDS, k=length))
