"""What stands around an item: its discussion, and its place among other items."""

from rally_accelerate.mapping.text import readable
from rally_accelerate.model.issue import UNKNOWN_PERSON, Comment, Relation, RelationType
from rally_accelerate.rally.people import nameless
from rally_accelerate.rally.records import WorkItem

#: The newest posts are kept as long as their texts stay within so many characters: one item must not fill an upload.
COMMENT_CHARACTERS = 100_000

#: Which reference is whose kind of relation (rally-api-notes.md#attributes); of several parents the nearest comes
#: first.
_PARENTS = ("Parent", "Requirement", "WorkProduct", "PortfolioItem")
_RELATED = ("Predecessors", "Successors", "Duplicates", "DefectSuites", "TestCase")


def comments_of(item: WorkItem, *, site: str = "") -> tuple[Comment, ...]:
    """Return the discussion as readable text, oldest first; of a very long one the newest part."""
    kept: list[Comment] = []
    left = COMMENT_CHARACTERS
    for post in sorted(item.around.posts, key=lambda post: (post.created, post.object_id), reverse=True):
        text = readable(post.text, site=site)
        left -= len(text)
        if left < 0 and kept:
            break
        kept.append(
            Comment(
                id=str(post.object_id),
                user=post.user or (nameless(post.user_id) if post.user_id is not None else UNKNOWN_PERSON),
                created=post.created,
                updated=post.updated,
                text=text[:COMMENT_CHARACTERS],
            )
        )
    return tuple(reversed(kept))


def relations_of(item: WorkItem) -> tuple[Relation, ...]:
    """Parents, children and related items by their ``_id``, each once, in a fixed order."""
    links = item.past.links
    if not links:
        return ()
    found: dict[str, Relation] = {}
    for names, relation in (
        (_PARENTS, RelationType.PARENT),
        (("Children",), RelationType.CHILD),
        (_RELATED, RelationType.RELATED),
    ):
        for name in names:
            for its_id in sorted(links.get(name, ())):
                if its_id != item.record.object_id:
                    found.setdefault(str(its_id), Relation(id=str(its_id), type=relation))
    return tuple(found.values())


def epic_of(item: WorkItem) -> str | None:
    """The FormattedID of the portfolio item above, whatever its level is called."""
    for its_id in item.past.links.get("PortfolioItem", ()):
        known = item.around.items.get(its_id)
        if known is not None:
            return known[0]
    return None
