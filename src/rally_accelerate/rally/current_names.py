"""What people and tags are called now: neither has a date of change to ask for (rally-api-notes.md#item-versions)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rally_accelerate.model.progress import PEOPLE, TAGS
from rally_accelerate.rally.keyset_paging import Listing, Row, chunks, next_rows
from rally_accelerate.rally.query import any_of
from rally_accelerate.rally.records import PERSON_FIELDS, NamesPage, Scope, person_name
from rally_accelerate.rally.session import Caller

#: For the host, the scheme and the id after which a page begins.
_FRAME_BYTES = 300


def tag_name(tag: Mapping[str, object]) -> str:
    """Return what a tag is called, as a row or as a member of an item's collection."""
    return str(tag.get("Name") or "").strip()


#: The endpoint of each kind, what to fetch, and how the name is read.
_LISTS: Mapping[str, tuple[str, tuple[str, ...], Callable[[Row], str]]] = {
    PEOPLE: ("users", ("ObjectID", *PERSON_FIELDS), person_name),
    TAGS: ("tag", ("ObjectID", "Name"), tag_name),
}


async def names_now(caller: Caller, scope: Scope, kind: str, ids: Sequence[int], *, after: int) -> NamesPage:
    """Return what some people or tags are called, in one request.

    As many ids as an address has room for are asked for by themselves. Of more, one page of the whole list is read, and
    the next call continues behind it.

    Args:
        caller: Asks Rally.
        scope: The workspace.
        kind: ``PEOPLE`` or ``TAGS``.
        ids: Their ObjectIDs, at least one.
        after: The ObjectID that the last page ended with.

    Raises:
        RallyAccelerateError: Rally cannot be asked.
    """
    endpoint, fetch, name_of = _LISTS[kind]
    # People belong to the subscription, tags to the workspace (rally-api-notes.md#scope).
    listing = Listing(kind=endpoint, fetch=fetch, workspace=scope.workspace.object_id if kind == TAGS else None)
    taken = len(listing.request(after=10**13, size=2000).target) + _FRAME_BYTES
    parts = chunks(sorted(ids), taken=taken, field="ObjectID")
    if len(parts) == 1:
        listing, after = replace(listing, where=(any_of("ObjectID", parts[0]),)), 0
    page = await next_rows(caller, listing, after=after)
    names = {its_id: name_of(row) for its_id, row in page.rows}
    return NamesPage(names, 0 if page.last or len(parts) == 1 else page.after)
