"""Pages about runs: the list, and a run with its report and log."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from rally_accelerate.observe.run_summary import describe_pending_histories, project_labels
from rally_accelerate.server.integrations import IntegrationService
from rally_accelerate.server.permissions import Role
from rally_accelerate.server.runner import Runner
from rally_accelerate.server.store.executions import OUTCOMES, RUNNING, SEVERITIES, Execution, ExecutionFilter, LogLine
from rally_accelerate.server.store.repositories import Stores
from rally_accelerate.server.web.routing import actor_of, page_routes, post_route, role_route
from rally_accelerate.server.web.templating import not_found, render_page, replace_labels

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
        """Return the routes."""
        return [
            *page_routes("/executions", self.index),
            role_route("/executions/{id:str}/log.txt", self.log),
            post_route("/executions/{id:str}/stop", self.stop),
            role_route("/executions/{id:str}", self.detail),
        ]

    async def index(self, request: Request) -> Response:
        """List runs, newest first, with filters and keyset pagination."""
        query = request.query_params
        since, until = _day(query.get("from", "")), _day(query.get("to", ""))
        outcome = query.get("outcome", "")
        criteria = ExecutionFilter(
            integration_id=query.get("integration", ""),
            outcome=outcome if outcome in {*OUTCOMES, RUNNING} else "",
            since=since,
            until=until + timedelta(days=1) if until is not None else None,
        )
        executions = await self._stores.executions.list_page(
            criteria, after=_parse_position(query.get("after", "")), limit=PAGE + 1
        )
        names = {one.id: one.name for one in await self._stores.integrations.all()}
        more = ""
        if len(executions) > PAGE:
            last = executions[PAGE - 1]
            after = f"{round(last.started.timestamp() * 1000)}-{last.id}"
            more = "?" + urlencode({**{key: text for key, text in query.items() if key != "after"}, "after": after})
        data = {
            "title": "Runs",
            "executions": [
                {**summarize(one, self._runs), "integration": names.get(one.integration_id, "")}
                for one in executions[:PAGE]
            ],
            "filters": {
                "integration": criteria.integration_id,
                "outcome": criteria.outcome,
                "from": query.get("from", "") if since else "",
                "to": query.get("to", "") if until else "",
            },
            "choices": {"integration": names, "outcome": [*OUTCOMES, RUNNING]},
            "retention": {
                "runs": self._stores.executions.retention.runs,
                "days": self._stores.executions.retention.days,
            },
            "more": more,
        }
        return render_page(request, "executions.html", data)

    async def detail(self, request: Request) -> Response:
        """Show a run with its report, and its log filtered by level and text."""
        execution = await self._stores.executions.get(request.path_params["id"].removesuffix(".json"))
        if execution is None:
            return not_found(request, "this run")
        integration = await self._stores.integrations.by_id(execution.integration_id)
        query = request.query_params
        level, text = query.get("level", ""), query.get("text", "").strip()
        level = level if level in SEVERITIES else ""
        place = query.get("after", "")
        after = int(place) if place.isdecimal() and len(place) < LONGEST_INSTANT else 0
        live = execution.completed is None and not after
        lines: list[LogLine] = []
        # Shown with the labels of the form, but searched by the stored names.
        for pattern in dict.fromkeys((text, replace_labels(text))):
            limit = LATEST_LINES if live else LINES + 1
            lines = lines or await self._stores.lines.list_lines(
                execution.id, level=level, text=pattern, after=after, limit=limit, latest=live
            )
        more = ""
        if not live and len(lines) > LINES:
            lines = lines[:LINES]
            more = "?" + urlencode({"level": level, "text": text, "after": lines[-1].position})
        data = {
            "title": f"Run of {integration.name}" if integration else "Run",
            "integration": {"id": execution.integration_id, "name": integration.name if integration else ""},
            "execution": summarize(execution, self._runs),
            "report": dict(execution.report),
            "projects": _projects(execution),
            "awaited": _describe_pending_histories(execution),
            "log": [_line(line) for line in lines],
            "levels": await self._stores.lines.count_levels(execution.id),
            "filters": {"level": level, "text": text},
            "follows": live,
            "more": more,
            "mayEdit": actor_of(request).may(Role.EDITOR),
        }
        return render_page(request, "execution.html", data)

    async def log(self, request: Request) -> Response:
        """Download the complete log."""
        execution = await self._stores.executions.get(request.path_params["id"])
        if execution is None:
            return not_found(request, "this run")
        name = f"run-{execution.started:%Y%m%d-%H%M%S}-{execution.id}.txt"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return PlainTextResponse(await self._stores.lines.read_text(execution.id), headers=headers)

    async def stop(self, request: Request) -> Response:
        """Stop this run if it is still in progress."""
        execution = await self._stores.executions.get(request.path_params["id"])
        if execution is None:
            return not_found(request, "this run")
        running = self._runs.get_active_run(execution.integration_id)
        # The next one may have begun since the page was read: that one was not meant.
        if running is not None and running.execution_id == execution.id:
            await self._administration.stop(actor_of(request), execution.integration_id)
        return RedirectResponse(f"/executions/{execution.id}", 303)


def summarize(execution: Execution, runs: Runner) -> dict[str, Any]:
    """Return a run as a row of a list, with current counts while it is running."""
    report = execution.report
    running = runs.get_active_run(execution.integration_id)
    account = {
        "id": execution.id,
        "integrationId": execution.integration_id,
        "event": execution.job_name,
        "started": execution.started,
        "completed": execution.completed,
        "outcome": execution.outcome or RUNNING,
        "seconds": _seconds(execution, running.seconds if running and running.execution_id == execution.id else None),
        **{name: report.get(name, 0) for name in ("read", "uploaded", "unchanged", "skipped", "removed", "withheld")},
        "retries": sum((report.get("retries") or {}).values()),
        "error": (report.get("error") or {}).get("message", ""),
        "progress": None,
    }
    if running is not None and running.execution_id == execution.id:
        tally = running.follower.tally
        account |= {
            "read": tally.read,
            "uploaded": tally.uploaded,
            "unchanged": tally.unchanged,
            "skipped": tally.skipped,
            "progress": running.describe_progress(),
        }
    return account


def _seconds(execution: Execution, so_far: float | None) -> float:
    """Return the duration of a run as measured, because the system clock can change in between."""
    measured = so_far if execution.completed is None else execution.report.get("seconds")
    if measured is not None:
        return float(measured)
    return max(0.0, ((execution.completed or datetime.now(UTC)) - execution.started).total_seconds())


def _describe_pending_histories(execution: Execution) -> str:
    """Why some histories are incomplete for now; nothing in runs of earlier versions, which did not tell."""
    histories = execution.report.get("histories") or {}
    count = histories.get("awaited") or 0
    return describe_pending_histories(count, of=histories.get("incomplete") or 0) if count else ""


def _projects(execution: Execution) -> list[dict[str, Any]]:
    """Return the first project results with unique labels; none for runs of earlier versions."""
    results = execution.report.get("projects") or []
    names = project_labels(results)
    return [{**one, "label": names[one["id"]]} for one in results[:PROJECTS]]


def _line(line: LogLine) -> dict[str, Any]:
    return {"position": line.position, "at": line.at, "level": line.level, "text": line.text}


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _parse_position(text: str) -> tuple[int, str] | None:
    started, _, execution_id = text.partition("-")
    return (
        (int(started), execution_id)
        if started.isdecimal() and len(started) <= LONGEST_INSTANT and execution_id
        else None
    )
