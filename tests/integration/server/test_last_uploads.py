"""The server's own integrations find the last upload of an item where the issue is stored."""

from pathlib import Path

from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.issues import Issues
from rally_accelerate.server.sync_state import ServerState
from support.issues import change, item


async def test_the_last_upload_is_the_stored_issue_with_its_whole_history(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.sqlite")
    history = [{**change("a", "b"), "timestamp": 5}, {**change("b", "c"), "timestamp": 7}]
    comments = [{"id": "1", "user": "u", "created": 3, "updated": 4, "comment": "text"}]
    uploaded = item(1, history=history, comments=comments, rawIssue={"Ready": True})
    store = Issues(database)
    for tracker, one in (("t", uploaded), ("another", item(1))):
        await store.store_upload(source="RALLY", tracker_id=tracker, tenant_id="n", items=[one])
    state = ServerState(database, "t")
    found = await state.documents([uploaded["_id"], "not there"])
    assert found.keys() == {uploaded["_id"]}
    document = dict(found[uploaded["_id"]])
    expected = [{"timestamp": str(each["timestamp"]), "content": each["content"]} for each in history]
    assert document.pop("history") == expected
    assert document == {name: value for name, value in uploaded.items() if name != "history"}
    assert await state.comments([uploaded["_id"]]) == {uploaded["_id"]: 1}
    # Uploaded again, it is the same issue.
    await store.store_upload(source="RALLY", tracker_id="t", tenant_id="n", items=[{**document, "history": history}])
    assert await state.documents([uploaded["_id"]]) == found
    await database.close()
