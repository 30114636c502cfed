"""Current names of people and tags, which have no modification date to query (rally-api-notes.md#item-versions)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rally_accelerate.model.progress import PEOPLE, TAGS
from rally_accelerate.rally.keyset_paging import Listing, Row, chunks, read_page
from rally_accelerate.rally.query import any_of
from rally_accelerate.rally.records import PERSON_FIELDS, NamesPage, Scope, person_name
from rally_accelerate.rally.session import Session

#: For the host, the scheme and the id after which a page begins.
_FRAME_BYTES = 300


def tag_name(tag: Mapping[str, object]) -> str:
    """Return the name of a tag, as a row or as a member of an item's collection."""
    return str(tag.get("Name") or "").strip()


#: The endpoint of each kind, what to fetch, and how the name is read.
_LISTS: Mapping[str, tuple[str, tuple[str, ...], Callable[[Row], str]]] = {
    PEOPLE: ("users", ("ObjectID", *PERSON_FIELDS), person_name),
    TAGS: ("tag", ("ObjectID", "Name"), tag_name),
}


async def read_current_names(session: Session, scope: Scope, kind: str, ids: Sequence[int], *, after: int) -> NamesPage:
    """Return what some people or tags are called, in one request.

    Ids that fit into one address are queried directly. For more ids, one page of the entire list is read, and the next
    call continues after it.

    Args:
        session: Sends requests to Rally.
        scope: The workspace.
        kind: ``PEOPLE`` or ``TAGS``.
        ids: Their ObjectIDs, at least one.
        after: The ObjectID that the last page ended with.

    Raises:
        RallyAccelerateError: The request fails.
    """
    endpoint, fetch, name_of = _LISTS[kind]
    # People belong to the subscription, tags to the workspace (rally-api-notes.md#scope).
    listing = Listing(kind=endpoint, fetch=fetch, workspace=scope.workspace.object_id if kind == TAGS else None)
    base_length = len(listing.request(after=10**13, size=2000).target) + _FRAME_BYTES
    parts = chunks(sorted(ids), base_length=base_length, field="ObjectID")
    if len(parts) == 1:
        listing, after = replace(listing, where=(any_of("ObjectID", parts[0]),)), 0
    page = await read_page(session, listing, after=after)
    names = {oid: name_of(row) for oid, row in page.rows}
    return NamesPage(names, 0 if page.last or len(parts) == 1 else page.after)
