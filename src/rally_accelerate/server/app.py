"""The server as a whole: its stores, its schedule and its web application."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from rally_accelerate.config.load import validate_integration
from rally_accelerate.config.model import Integration
from rally_accelerate.errors import ConfigError
from rally_accelerate.model.report import SyncReport
from rally_accelerate.server import runtime
from rally_accelerate.server.authentication import Authenticator, SignInService
from rally_accelerate.server.dry_runs import DryRuns
from rally_accelerate.server.form_drafts import DraftStore
from rally_accelerate.server.graphql.endpoint import Endpoint
from rally_accelerate.server.integrations import IntegrationService
from rally_accelerate.server.permissions import SYSTEM_ACTOR, Role
from rally_accelerate.server.rest_api import ValueStreamApi
from rally_accelerate.server.runner import Runner
from rally_accelerate.server.scheduler import Scheduler
from rally_accelerate.server.store.executions import Retention
from rally_accelerate.server.store.repositories import Stores, open_repositories
from rally_accelerate.server.upload_worker import UploadWorker
from rally_accelerate.server.value_streams.board import BoardCache
from rally_accelerate.server.value_streams.defaults import first_stream
from rally_accelerate.server.value_streams.importer import Importer
from rally_accelerate.server.web.routes import routes
from rally_accelerate.server.web.routing import public_route
from rally_accelerate.server.web.security import LOCAL_NAMES, Cookie, Guard, Names
from rally_accelerate.server.web.templating import no_route
from rally_accelerate.sync.ports import Watch

DEFAULT_INTERVAL = timedelta(minutes=5)


class Server:
    """The embedded server; opened by ``Server.open``."""

    def __init__(
        self, stores: Stores, *, interval: timedelta, first_access_key: str | None, first_password: str | None
    ) -> None:
        self.stores = stores
        #: The access key that was made at the first start, to be shown once; None later.
        self.first_access_key = first_access_key
        #: The administrator's password, likewise.
        self.first_password = first_password
        #: Where people sign in.
        self.sign_in = SignInService(stores)
        inside_key = secrets.token_urlsafe(32)
        self._runner = Runner(stores, inside_key=inside_key)
        self.scheduler = Scheduler(stores, self._runner, interval=interval)
        self.integrations = IntegrationService(stores, self.scheduler)
        self.dry_runs = DryRuns()
        self.drafts = DraftStore()
        self.importer = Importer(stores, self.integrations)
        self.boards = BoardCache(stores.search)
        #: Takes large uploads.
        self.upload_worker = UploadWorker(stores.path, stores.database.write_lock)
        self._endpoint = Endpoint(
            stores,
            self.scheduler,
            self.integrations,
            importing=self.importer,
            boards=self.boards,
            worker=self.upload_worker,
        )
        self._authenticator = Authenticator(stores, inside_key=inside_key)
        # The server's own runs upload as everybody does, only without a socket.
        self._runner.transport = httpx2.ASGITransport(app=self.build_app())

    @classmethod
    @asynccontextmanager
    async def open(
        cls, database: Path, *, interval: timedelta = DEFAULT_INTERVAL, retention: Retention | None = None
    ) -> AsyncIterator["Server"]:
        """Open the server of a database; stop its runs on leaving.

        Args:
            database: The SQLite file; made if it is missing.
            interval: Time from one run to the next.
            retention: For how long runs are kept.

        Raises:
            StoreError: The database cannot be used.
        """
        async with open_repositories(database, retention=retention) as stores:
            first_password = await stores.users.create_first()
            first_key = await stores.keys.create_first()
            host = cls(stores, interval=interval, first_access_key=first_key, first_password=first_password)
            runtime.tune_garbage_collection()
            # The first page that counts issues need not wait for it, or less.
            warming = asyncio.create_task(stores.search.warm())
            # Closed one after the other, the last named first, each also where one before it fails.
            async with AsyncExitStack() as closing:
                closing.push_async_callback(host.upload_worker.close)
                closing.push_async_callback(host.boards.close)
                # Long searches first: boards may wait for them.
                closing.push_async_callback(stores.search.close)
                closing.push_async_callback(host.scheduler.close)
                closing.push_async_callback(host.dry_runs.close)
                try:
                    yield host
                finally:
                    warming.cancel()
                    await asyncio.gather(warming, return_exceptions=True)

    def build_app(
        self,
        *,
        names: Collection[str] | None = LOCAL_NAMES,
        secure_names: Collection[str] = (),
        prefix: str = "",
    ) -> Starlette:
        """Build the web application.

        Args:
            names: The names under which it answers; None for every one, where other machines are to reach it.
            secure_names: Those under which a proxy with TLS shows it.
            prefix: The path below which it is shown, for its cookie; ``Prefixed`` does the rest.
        """
        cookie = Cookie(secure_names, prefix=prefix)
        endpoints = [
            public_route("/release-events-api/graphql", self._endpoint.handle_graphql, methods=["POST"]),
            public_route("/release-events-api/api/v1/issues", self._endpoint.handle_upload, methods=["POST"]),
        ]
        pages = routes(
            self.stores,
            self.scheduler,
            self._runner,
            self.integrations,
            trials=self.dry_runs,
            drafts=self.drafts,
            door=self.sign_in,
            cookie=cookie,
            importing=self.importer,
            boards=self.boards,
        )
        programs = ValueStreamApi(self.stores, self.scheduler, self.boards).build_routes()
        app = Starlette(routes=[*endpoints, *programs, *pages], exception_handlers={HTTPException: no_route})
        app.add_middleware(Guard, callers=self._authenticator, cookie=cookie, names=Names(names))
        return app

    async def create_sign_in_link(self) -> str:
        """Create a one-time sign-in link for an administrator; return its path."""
        able = [user for user in await self.stores.users.all() if user.role is Role.ADMIN and not user.disabled]
        return f"/sign-in?once={self.sign_in.create_link(min(able, key=lambda user: user.created))}"

    async def add_integration(self, settings: Integration | Mapping[str, Any]) -> str:
        """Add an integration, or change the one of the same tenant and name; return its id.

        Raises:
            ConfigError: The settings are wrong.
        """
        integration = settings if isinstance(settings, Integration) else validate_integration(settings)
        return await self.integrations.put(SYSTEM_ACTOR, integration)

    async def create_first_value_stream(self, integration_id: str) -> str | None:
        """Create the first value stream of an integration's issues; return its name, or None if one exists."""
        drawn = await first_stream(self.stores, self.importer, integration_id)
        return drawn.name if drawn else None

    async def disable_integration(self, name: str, tenant_id: str) -> bool:
        """Disable the integration of a tenant and name; return whether there is one."""
        known = await self.stores.integrations.by_name(name, tenant_id)
        if known is not None and not known.disabled:
            await self.integrations.set_enabled(SYSTEM_ACTOR, known.id, on=False)
        return known is not None

    async def exclude_integrations(self, names: Collection[str]) -> None:
        """Never run the integrations of these names in this process.

        Raises:
            ConfigError: There is no integration of one of the names.
        """
        stored = await self.stores.integrations.all()
        unknown = sorted({*names} - {one.name for one in stored})
        if unknown:
            known = ", ".join(sorted({one.name for one in stored})) or "none"
            raise ConfigError(
                f"there is no integration {', '.join(map(repr, unknown))} to serve without",
                hint=f"The integrations of this database: {known}.",
            )
        self.scheduler.exclude(one.id for one in stored if one.name in names)

    async def run_integration(self, integration_id: str, *, watch: Watch | None = None) -> SyncReport:
        """Run an integration and wait for its report."""
        return await self.scheduler.run_now(integration_id, watch=watch)

    def start_scheduler(self) -> None:
        """Run every enabled integration when it is due, and have ready what GraphQL requests and large uploads need."""
        self._endpoint.prepare()
        self.scheduler.start()
        self.upload_worker.start()
