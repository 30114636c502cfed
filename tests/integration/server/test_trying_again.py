"""What somebody sees who waits while Rally does not answer: that it is tried again, and why, without any secret."""

import io
import logging
import re

from rally_accelerate.config.redaction import Redactor
from rally_accelerate.observe import logs
from rally_accelerate.server.permissions import SYSTEM_ACTOR
from support.server_client import ServerClient
from support.waiting import until

#: Nothing listens there.
NEVER = {"baseUrl": "http://127.0.0.1:9", "apiKey": "planted-secret-1", "retrySeconds": 3600}

REASON = re.compile(
    r"Retrying( after \d+ failures)?: Nothing listens at http://127\.0\.0\.1:9 \(connection refused\)\."
)


async def troubled(asked: ServerClient) -> tuple[str, str]:
    """The ids of an integration whose run tries again, and of that run."""
    its_id = await asked.host.add_integration({"name": "sample", "properties": NEVER})
    asked.host.scheduler.start_run(its_id)

    def in_trouble() -> str:
        running = asked.host._runner.get_active_run(its_id)
        return running.execution_id if running is not None and running.trouble else ""

    return its_id, await until(in_trouble)


async def test_every_page_of_a_run_that_tries_again_says_why(asked: ServerClient) -> None:
    its_id, execution_id = await troubled(asked)
    addresses = ["/settings/integrations", f"/settings/integrations/{its_id}", f"/executions/{execution_id}"]
    for address in addresses:
        page = (await asked.http.get(address)).text
        assert REASON.search(page), address
        assert "planted" not in page
    await asked.host.integrations.stop(SYSTEM_ACTOR, its_id)
    for address in addresses:
        assert not REASON.search((await asked.http.get(address)).text)


async def test_why_the_last_run_failed_stands_in_its_row(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "sample", "properties": {**NEVER, "retrySeconds": 0}})
    report = await asked.host.run_integration(its_id)
    assert report.failure is not None
    page = (await asked.http.get("/settings/integrations")).text
    assert "<small>Nothing listens at http://127.0.0.1:9 (connection refused).</small>" in page


async def test_a_resync_preview_that_tries_again_says_why(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "sample", "disabled": True, "properties": NEVER})
    address = f"/settings/integrations/{its_id}/resync"
    await asked.http.post(address, data={"range": "full", "do": "preview"})

    async def page_with_reason() -> str:
        page = (await asked.http.get(address)).text
        return page if REASON.search(page) else ""

    assert "planted" not in await until(page_with_reason)
    await asked.http.post(address, data={"do": "stop"})
    assert not REASON.search((await asked.http.get(address)).text)


async def test_the_log_of_the_process_names_the_integration_of_each_line(asked: ServerClient) -> None:
    its_id = await asked.host.add_integration({"name": "sample", "properties": {**NEVER, "retrySeconds": 0}})
    stream, root = io.StringIO(), logging.getLogger("rally_accelerate")
    level, propagate = root.level, root.propagate
    handler = logs.set_up("INFO", redactor=Redactor(()), stream=stream)
    try:
        report = await asked.host.run_integration(its_id)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        root.propagate = propagate
    assert report.failure is not None
    lines = stream.getvalue().splitlines()
    assert any("sample: failed: 0 read" in line for line in lines)
    assert all(" sample: " in line for line in lines)
    (run,) = await asked.host.stores.executions.list_latest(its_id, limit=1)
    assert "sample: failed" not in await asked.host.stores.lines.read_text(run.id)
