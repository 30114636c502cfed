"""Executions: every run that is kept, and one of them with its account and its log."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.observe.run_summary import awaited_words, labels
from rally_accelerate.server.integrations import IntegrationService
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.runner import Runner
from rally_accelerate.server.store.executions import OUTCOMES, RUNNING, SEVERITIES, Execution, ExecutionFilter, LogLine
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.web.routing import actor_of, posted, routed, shown
from rally_accelerate.server.web.templating import missing, page, unlabelled

PAGE = 50

#: How many lines of a log a page shows; of a run that goes on, its last ones.
LINES = 1000
LATEST_LINES = 200

#: How many projects a page shows.
PROJECTS = 100

#: Digits of the last instant of the year 9999 in milliseconds.
LONGEST_INSTANT = 15


class ExecutionPages:
    """The pages about executions."""

    def __init__(self, stores: Stores, runs: Runner, administration: IntegrationService) -> None:
        self._stores = stores
        self._runs = runs
        self._administration = administration

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            *shown("/executions", self.listed),
            routed("/executions/{id:str}/log.txt", self.log),
            posted("/executions/{id:str}/stop", self.stop),
            routed("/executions/{id:str}", self.one),
        ]

    async def listed(self, request: Request) -> Response:
        """Runs, newest first, with filters and pages by key."""
        given = request.query_params
        since, until = _day(given.get("from", "")), _day(given.get("to", ""))
        outcome = given.get("outcome", "")
        wanted = ExecutionFilter(
            integration_id=given.get("integration", ""),
            outcome=outcome if outcome in {*OUTCOMES, RUNNING} else "",
            since=since,
            until=until + timedelta(days=1) if until is not None else None,
        )
        found = await self._stores.executions.list_page(wanted, after=_place(given.get("after", "")), limit=PAGE + 1)
        names = {one.id: one.name for one in await self._stores.integrations.all()}
        more = ""
        if len(found) > PAGE:
            last = found[PAGE - 1]
            after = f"{round(last.started.timestamp() * 1000)}-{last.id}"
            more = "?" + urlencode({**{key: text for key, text in given.items() if key != "after"}, "after": after})
        data = {
            "title": "Runs",
            "executions": [
                {**account_of(one, self._runs), "integration": names.get(one.integration_id, "")}
                for one in found[:PAGE]
            ],
            "filters": {
                "integration": wanted.integration_id,
                "outcome": wanted.outcome,
                "from": given.get("from", "") if since else "",
                "to": given.get("to", "") if until else "",
            },
            "choices": {"integration": names, "outcome": [*OUTCOMES, RUNNING]},
            "retention": {
                "runs": self._stores.executions.retention.runs,
                "days": self._stores.executions.retention.days,
            },
            "more": more,
        }
        return page(request, "executions.html", data)

    async def one(self, request: Request) -> Response:
        """One execution: its account, and its log by level and text."""
        found = await self._stores.executions.get(request.path_params["id"].removesuffix(".json"))
        if found is None:
            return missing(request, "this run")
        integration = await self._stores.integrations.by_id(found.integration_id)
        given = request.query_params
        level, text = given.get("level", ""), given.get("text", "").strip()
        level = level if level in SEVERITIES else ""
        place = given.get("after", "")
        after = int(place) if place.isdecimal() and len(place) < LONGEST_INSTANT else 0
        live = found.completed is None and not after
        lines: list[LogLine] = []
        # Shown with the labels of the form: whoever looks for one means the name that is stored.
        for wanted in dict.fromkeys((text, unlabelled(text))):
            limit = LATEST_LINES if live else LINES + 1
            lines = lines or await self._stores.lines.list_lines(
                found.id, level=level, text=wanted, after=after, limit=limit, latest=live
            )
        more = ""
        if not live and len(lines) > LINES:
            lines = lines[:LINES]
            more = "?" + urlencode({"level": level, "text": text, "after": lines[-1].position})
        data = {
            "title": f"Run of {integration.name}" if integration else "Run",
            "integration": {"id": found.integration_id, "name": integration.name if integration else ""},
            "execution": account_of(found, self._runs),
            "report": dict(found.report),
            "projects": _projects(found),
            "awaited": _awaited(found),
            "log": [_line(line) for line in lines],
            "levels": await self._stores.lines.count_levels(found.id),
            "filters": {"level": level, "text": text},
            "follows": live,
            "more": more,
            "mayEdit": actor_of(request).may(Role.EDITOR),
        }
        return page(request, "execution.html", data)

    async def log(self, request: Request) -> Response:
        """The whole log, to keep."""
        found = await self._stores.executions.get(request.path_params["id"])
        if found is None:
            return missing(request, "this run")
        name = f"run-{found.started:%Y%m%d-%H%M%S}-{found.id}.txt"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return PlainTextResponse(await self._stores.lines.read_text(found.id), headers=headers)

    async def stop(self, request: Request) -> Response:
        """Stop this run, if it still goes on."""
        found = await self._stores.executions.get(request.path_params["id"])
        if found is None:
            return missing(request, "this run")
        running = self._runs.get_active_run(found.integration_id)
        # The next one may have begun since the page was read: that one was not meant.
        if running is not None and running.execution_id == found.id:
            await self._administration.stop(actor_of(request), found.integration_id)
        return RedirectResponse(f"/executions/{found.id}", 303)


def account_of(found: Execution, runs: Runner) -> dict[str, Any]:
    """A run in a list, with the counts of the moment while it goes on."""
    report = found.report
    running = runs.get_active_run(found.integration_id)
    account = {
        "id": found.id,
        "integrationId": found.integration_id,
        "event": found.job_name,
        "started": found.started,
        "completed": found.completed,
        "outcome": found.outcome or RUNNING,
        "seconds": _seconds(found, running.seconds if running and running.execution_id == found.id else None),
        **{name: report.get(name, 0) for name in ("read", "uploaded", "unchanged", "skipped", "removed", "withheld")},
        "retries": sum((report.get("retries") or {}).values()),
        "error": (report.get("error") or {}).get("message", ""),
        "progress": None,
    }
    if running is not None and running.execution_id == found.id:
        tally = running.follower.tally
        account |= {
            "read": tally.read,
            "uploaded": tally.uploaded,
            "unchanged": tally.unchanged,
            "skipped": tally.skipped,
            "progress": running.describe_progress(),
        }
    return account


def _seconds(found: Execution, so_far: float | None) -> float:
    """How long a run took: as it measured itself, for between two instants somebody may have set the clock."""
    measured = so_far if found.completed is None else found.report.get("seconds")
    if measured is not None:
        return float(measured)
    return max(0.0, ((found.completed or datetime.now(UTC)) - found.started).total_seconds())


def _awaited(found: Execution) -> str:
    """Why some histories are incomplete for now; nothing in runs of earlier versions, which did not tell."""
    histories = found.report.get("histories") or {}
    count = histories.get("awaited") or 0
    return awaited_words(count, of=histories.get("incomplete") or 0) if count else ""


def _projects(found: Execution) -> list[dict[str, Any]]:
    """The first results of projects, each with a label that is its own; none in runs of earlier versions."""
    results = found.report.get("projects") or []
    names = labels(results)
    return [{**one, "label": names[one["id"]]} for one in results[:PROJECTS]]


def _line(line: LogLine) -> dict[str, Any]:
    return {"position": line.position, "at": line.at, "level": line.level, "text": line.text}


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _place(text: str) -> tuple[int, str] | None:
    started, _, its_id = text.partition("-")
    return (int(started), its_id) if started.isdecimal() and len(started) <= LONGEST_INSTANT and its_id else None
