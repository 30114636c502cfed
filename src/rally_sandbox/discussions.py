"""What hangs on work items besides their values: discussions, and which story has to wait for which."""

from collections import defaultdict
from collections.abc import Sequence
from random import Random

from rally_sandbox import hostile_data
from rally_sandbox.clock import HOUR
from rally_sandbox.records import Link, Record
from rally_sandbox.sample_company import Company

#: Ids of the posts of the generated past; those of later ones are new ids like all others.
FIRST_POST_ID = 610_000_000_000

#: So many items, spread over the whole world, may have generated posts: enough for several pages, and quickly made.
ITEMS_WITH_POSTS = 2_000

TEXTS = (
    "Sample remark: <b>looks good</b> to me",
    "Could somebody try it with the sample data?",
    "Tried &amp; found nothing unusual",
    "<p>Two things:</p><ol><li>the first</li><li>the second</li></ol>",
)


class Relations:
    """The posts and dependencies of a world, by index of the item."""

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
        """Posts on a tenth of some items; a few have very many.

        Args:
            seed: The same seed makes the same posts.
            created: When each item was made, in milliseconds.
            workspaces: Where each item is.
            hostile_share: How many of the posts are hostile.
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
        """Let the story at ``after`` wait for the one at ``before``."""
        self._predecessors[after].append(before)
        self._successors[before].append(after)

    def add_to_suite(self, suite: int, defect: int) -> None:
        """Put the defect at an index into a suite."""
        self._suites[defect].append(suite)
        self._suite_defects[suite].append(defect)

    def suites(self, index: int) -> Sequence[int]:
        """Indexes of the suites that a defect is in."""
        return self._suites.get(index, ())

    def suite_defects(self, index: int) -> Sequence[int]:
        """Indexes of the defects in a suite."""
        return self._suite_defects.get(index, ())

    def posts(self, index: int) -> Sequence[Record]:
        """An item's discussion, oldest first."""
        return self._posts.get(index, ())

    def predecessors(self, index: int) -> Sequence[int]:
        """Indexes of the stories that a story waits for."""
        return self._predecessors.get(index, ())

    def successors(self, index: int) -> Sequence[int]:
        """Indexes of the stories that wait for a story."""
        return self._successors.get(index, ())
