"""Whatever is sent to whatever address, the host answers; it never fails, and never shows what failed.

Schemathesis makes requests from a description of every route that the application has, so routes that are added later
are tried without a change here. The examples are the same in every run.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import hypothesis_graphql
import pytest
import requests
import schemathesis
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLSchema,
    build_client_schema,
    get_introspection_query,
    is_required_input_field,
)
from graphql.language import ast
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from support.fuzz_targets import NASTY, build_openapi, iter_endpoints, list_parameter_names
from support.issues import UPLOAD, change, item, upload
from support.server_client import TENANT, ServerClient, open_server, set_session_cookie

GRAPHQL = "/release-events-api/graphql"
TRACKER = "a" * 24


def tried(examples: int) -> Callable[[Any], Any]:
    """The same examples in every run; how long one takes is no fault."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        # Looking for the smallest example takes minutes, and the first one found stays the same.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@dataclass(frozen=True)
class Fuzzed:
    """A host in a loop of its own, so that a fuzzer, which knows no loops, can ask it."""

    runner: asyncio.Runner
    asked: ServerClient
    known: tuple[str, ...]

    def ask(self, method: str, address: str, **given: Any) -> httpx2.Response:
        """One answer, which is none of a failure; a failure inside is raised here by the transport."""

        async def asking_once() -> httpx2.Response:
            return await self.asked.http.request(method, address, **given)

        answer = self.runner.run(asking_once())
        assert answer.status_code != 500, (method, address, given)
        assert "Traceback" not in answer.text
        if answer.headers.get("location", "").startswith("/sign-in") or answer.status_code == 401:
            # It signed itself out, or worse: whatever comes next is to be seen signed in.
            self.runner.run(set_session_cookie(self.asked.host, self.asked.http))
        return answer

    def graphql(self, question: str, variables: Any = None) -> dict[str, Any]:
        """The answer to a question; an error of a resolver's own is a failure."""
        content = json.dumps({"query": question, "variables": variables})
        headers = {"Authorization": f"UserAccessKey {self.asked.key}", "Content-Type": "application/json"}
        answer = self.ask("POST", GRAPHQL, content=content, headers=headers)
        told: dict[str, Any] = answer.json()
        for error in told.get("errors") or ():
            assert error["message"] != "internal error", (question, variables)
        return told


@pytest.fixture
def fuzzed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fuzzed]:
    """A host that holds something, and reaches nobody outside."""

    async def unreachable(*_: Any, **__: Any) -> None:
        raise httpx2.ConnectError("this test reaches nobody")

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", unreachable)
    with asyncio.Runner() as runner:
        context = open_server(tmp_path / "host.sqlite")
        asked = runner.run(context.__aenter__())
        try:
            yield Fuzzed(runner, asked, runner.run(_filled(asked)))
        finally:
            runner.run(context.__aexit__(None, None, None))


async def _filled(asked: ServerClient) -> tuple[str, ...]:
    its_id = await asked.host.add_integration({"name": "n", "properties": {"apiKey": "x", "retrySeconds": 0}})
    await asked.host.run_integration(its_id)
    whole = item(1, history=[change("A", "B")], relations=[{"id": "2", "type": "CHILD"}], rawIssue={"a": [1]})
    await asked.fetch_data(UPLOAD, data=upload(whole, item(2), tracker=its_id))
    execution = (await asked.host.stores.executions.list_latest(its_id))[0]
    return its_id, execution.id, "1", "US1", "1.json", TENANT


def test_the_fuzzer_knows_every_way_into_the_host(fuzzed: Fuzzed) -> None:
    app = fuzzed.asked.host.build_app()
    known = list(iter_endpoints(app))
    assert ("POST", GRAPHQL) in known
    assert ("GET", "/issues/{tracker}/{id}") in known
    assert len(known) >= len(app.routes)
    assert {"text", "dql", "as-of", "sort"} <= set(list_parameter_names())


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_address_fails_whatever_it_is_given(fuzzed: Fuzzed, mode: GenerationMode) -> None:
    document = build_openapi(fuzzed.asked.host.build_app(), fuzzed.known)
    seen = []
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()  # type: ignore[union-attr] # the document is our own

        @tried(8)
        @given(operation.as_strategy(generation_mode=mode))
        def holds(case: Any) -> None:
            sent = requests.Request(**_request(case)).prepare()
            kept = {name: value for name, value in sent.headers.items() if name.lower() != "cookie"}
            fuzzed.ask(str(sent.method), str(sent.url), content=sent.body, headers=kept)

        holds()
        seen.append(operation.label)
    assert len(seen) == len(set(iter_endpoints(fuzzed.asked.host.build_app())))


def _request(case: Any) -> dict[str, Any]:
    given = case.as_transport_kwargs(base_url="http://127.0.0.1")
    # Who sends what is tried elsewhere; here it is somebody who may.
    return {name: given.get(name) for name in ("method", "url", "params", "json", "data", "files", "headers")}


TEXTS = st.one_of(st.sampled_from(NASTY), st.text(max_size=12), st.text(alphabet="\r\n\t\x00;:=&%+/\\\"'", max_size=8))


def test_no_form_fails_whatever_is_in_it(fuzzed: Fuzzed) -> None:
    values = TEXTS | st.sampled_from(fuzzed.known)
    fields = st.dictionaries(
        st.sampled_from(list_parameter_names()) | TEXTS, st.lists(values, max_size=3) | values, max_size=8
    )
    kinds = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json", "nonsense")
    known = st.sampled_from(
        sorted({each for each in iter_endpoints(fuzzed.asked.host.build_app()) if each[0] != "GET"})
    )
    ids = st.sampled_from(fuzzed.known) | TEXTS.filter(bool)

    @tried(150)
    @given(known, ids, fields, st.binary(max_size=80), st.sampled_from(kinds))
    def holds(way: tuple[str, str], its_id: str, form: dict[str, Any], body: bytes, kind: str) -> None:
        method, path = way
        address = re.sub(r"\{\w+\}", quote(its_id, safe=""), path)
        fuzzed.ask(method, address, data=form)
        fuzzed.ask(method, address, content=body, headers={"Content-Type": kind})
        given = {"Content-Type": kind, "Authorization": f"UserAccessKey {fuzzed.asked.key}"}
        fuzzed.ask(method, address, content=json.dumps(form).encode(), headers=given)

    holds()


def _schema(fuzzed: Fuzzed) -> GraphQLSchema:
    return build_client_schema(fuzzed.graphql(get_introspection_query())["data"])


def test_no_question_fails_that_the_schema_allows(fuzzed: Fuzzed) -> None:
    leaves = TEXTS.filter(lambda text: "\x00" not in text).map(lambda text: ast.StringValueNode(value=text))
    numbers = st.integers(-(2**70), 2**70).map(lambda number: ast.IntValueNode(value=str(number)))
    scalars = {
        name: leaves | numbers
        for name, each in _schema(fuzzed).type_map.items()
        if isinstance(each, GraphQLScalarType) and name not in {"Int", "Float", "String", "Boolean", "ID"}
    }

    @tried(150)
    @given(hypothesis_graphql.from_schema(_schema(fuzzed), custom_scalars=scalars))
    def holds(question: str) -> None:
        fuzzed.graphql(question)

    holds()


def _values(of: Any) -> st.SearchStrategy[Any]:
    """Values of an input type, also such as nobody sends."""
    match of:
        case GraphQLNonNull():
            return _values(of.of_type).filter(lambda value: value is not None)
        case GraphQLList():
            return st.none() | st.lists(_values(of.of_type), max_size=2)
        case GraphQLEnumType():
            return st.none() | st.sampled_from(sorted(of.values))
        case GraphQLInputObjectType():
            needed = {name: _values(each.type) for name, each in of.fields.items() if is_required_input_field(each)}
            others = {name: _values(each.type) for name, each in of.fields.items() if name not in needed}
            return st.none() | st.fixed_dictionaries(needed, optional=others)
    leaves: dict[str, st.SearchStrategy[Any]] = {
        "Boolean": st.booleans(),
        "Int": st.integers(-(2**31), 2**31 - 1),
        "Float": st.floats(allow_nan=False, allow_infinity=False),
        "Date": st.integers(-(2**63), 2**64) | st.integers(0, 2**42) | st.sampled_from(NASTY),
        "JSON": st.recursive(
            st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXTS,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
            max_leaves=6,
        ),
    }
    return st.none() | leaves.get(of.name, TEXTS)


def test_whatever_is_uploaded_can_be_shown(fuzzed: Fuzzed) -> None:
    schema = _schema(fuzzed)
    one = schema.type_map["IssueDataItemIn"]
    sound = {"created": st.integers(0, 2**42), "lastUpdate": st.integers(0, 2**42), "_id": TEXTS}

    @tried(40)
    @given(_values(one).filter(bool), st.fixed_dictionaries(sound), st.sampled_from([TRACKER, *NASTY]))
    def holds(thing: dict[str, Any], instants: dict[str, Any], tracker: str) -> None:
        told = fuzzed.graphql(UPLOAD, {"data": upload({**thing, **instants}, tracker=tracker)})
        if told.get("errors"):
            return
        row = fuzzed.ask("GET", "/issues.json?limit=1&sort=-updated").json()["issues"][0]
        assert row
        for address in ("/issues?column=labels&column=sprint&column=address", "/issues.json", "/issues.csv"):
            assert fuzzed.ask("GET", address).status_code == 200
        listed = fuzzed.ask("GET", "/issues?limit=100").text
        for part in set(listed.split('<th scope="row"><a href="')[1:]):
            address = part.partition('"')[0]
            for end in ("", "?as-of=2001-01-01", ".json"):
                assert fuzzed.ask("GET", f"{address}{end}").status_code == 200, address
        question = "query($t: ID!) { issues(filter: {tenantId: $t}) { issue { id created rawIssue history { timestamp content { from to } } } } }"
        assert "errors" not in fuzzed.graphql(question, {"t": TENANT})
        fuzzed.runner.run(fuzzed.asked.host.stores.issues.remove(tracker))

    holds()
