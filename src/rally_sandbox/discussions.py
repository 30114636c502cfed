"""Discussions, dependencies between stories, and members of defect suites."""

from collections import defaultdict
from collections.abc import Sequence
from random import Random

from rally_sandbox import hostile_data
from rally_sandbox.clock import HOUR
from rally_sandbox.records import Link, Record
from rally_sandbox.sample_company import Company

#: First ObjectID of generated posts; later posts get regular new ids.
FIRST_POST_ID = 610_000_000_000

#: How many items, evenly distributed, can have generated posts: enough for several pages, and fast to generate.
ITEMS_WITH_POSTS = 2_000

TEXTS = (
    "Sample remark: <b>looks good</b> to me",
    "Could somebody try it with the sample data?",
    "Tried &amp; found nothing unusual",
    "<p>Two things:</p><ol><li>the first</li><li>the second</li></ol>",
)


class Relations:
    """The posts, dependencies and defect suites of a world, by index of the item."""

    def __init__(self, company: Company) -> None:
        self._company = company
        self._posts: defaultdict[int, list[Record]] = defaultdict(list)
        self._predecessors: defaultdict[int, list[int]] = defaultdict(list)
        self._successors: defaultdict[int, list[int]] = defaultdict(list)
        self._suites: defaultdict[int, list[int]] = defaultdict(list)
        self._suite_defects: defaultdict[int, list[int]] = defaultdict(list)

    def generate(
        self, seed: int, created: Sequence[int], workspaces: Sequence[Record], *, hostile_share: float = 0.0
    ) -> None:
        """Generate posts for a tenth of some items; a few items get many posts.

        Args:
            seed: The same seed generates the same posts.
            created: Creation time of each item, in milliseconds.
            workspaces: Workspace of each item.
            hostile_share: Share of hostile posts, from 0 to 1.
        """
        random = Random(seed * 7 + 3)
        number = 0
        for index in range(0, len(created), max(1, len(created) // ITEMS_WITH_POSTS)):
            if random.random() >= 0.1:  # noqa: PLR2004 - a tenth
                continue
            for _ in range(45 if random.random() < 0.05 else 1 + int(random.random() * 4)):  # noqa: PLR2004 - seldom
                number += 1
                user = random.choice(self._company.users)
                at = created[index] + int(random.random() * HOUR)
                text = random.choice(TEXTS)
                if hostile_share and random.random() < hostile_share:
                    text += hostile_data.choose_ending(random)
                self.add_post(index, FIRST_POST_ID + number, text, user=user, at=at, workspace=workspaces[index])

    def add_post(self, index: int, object_id: int, text: str, *, user: Record, at: int, workspace: Record) -> Record:
        """Add a post to an item's discussion."""
        posts = self._posts[index]
        values = {
            "Artifact": Link(index),
            "Text": text,
            "User": user,
            "PostNumber": len(posts),
            "LastUpdateDate": at,
        }
        record = Record("ConversationPost", object_id, values, at, f"Post {len(posts)}", workspace)
        posts.append(record)
        return self._company.add(record)

    def add_dependency(self, before: int, after: int) -> None:
        """Make the story at index ``before`` a predecessor of the one at ``after``."""
        self._predecessors[after].append(before)
        self._successors[before].append(after)

    def add_to_suite(self, suite: int, defect: int) -> None:
        """Add a defect to a defect suite, both by index."""
        self._suites[defect].append(suite)
        self._suite_defects[suite].append(defect)

    def suites(self, index: int) -> Sequence[int]:
        """Return the indexes of the suites that contain a defect."""
        return self._suites.get(index, ())

    def suite_defects(self, index: int) -> Sequence[int]:
        """Return the indexes of the defects in a suite."""
        return self._suite_defects.get(index, ())

    def posts(self, index: int) -> Sequence[Record]:
        """Return an item's posts, oldest first."""
        return self._posts.get(index, ())

    def predecessors(self, index: int) -> Sequence[int]:
        """Return the indexes of a story's predecessors."""
        return self._predecessors.get(index, ())

    def successors(self, index: int) -> Sequence[int]:
        """Return the indexes of a story's successors."""
        return self._successors.get(index, ())
