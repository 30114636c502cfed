"""Faults play at the requests that they were armed for, and at no others."""

import pytest

from rally_sandbox import gateway
from rally_sandbox.faults import FAULTS, UNLIMITED, Fault, Faults
from rally_sandbox.gateway import apply_fault, create_fault_response, json_response


def plays(faults: Faults, kind: str = "defect", page_size: int = 20) -> str | None:
    fault = faults.take(kind, page_size=page_size)
    return fault.name if fault is not None else None


def test_a_fault_plays_once_after_those_it_lets_pass() -> None:
    faults = Faults()
    faults.add("502", match="defect", after=2)
    assert [plays(faults) for _ in range(5)] == [None, None, "502", None, None]


def test_a_fault_plays_as_often_as_told() -> None:
    faults = Faults()
    faults.add("503", times=2)
    faults.add("drop", times=UNLIMITED)
    assert [plays(faults) for _ in range(4)] == ["503", "503", "drop", "drop"]
    assert faults.played == 4


def test_only_matching_requests_count() -> None:
    faults = Faults()
    faults.add("429", match="revision", after=1)
    assert [plays(faults, kind) for kind in ("defect", "revision", "defect", "revision")] == [None, None, None, "429"]


def test_a_page_limit_plays_for_every_larger_page() -> None:
    faults = Faults()
    faults.add("page-limit", rows=100)
    assert [plays(faults, page_size=size) for size in (100, 101, 2000)] == [None, "page-limit", "page-limit"]


def test_clearing_ends_everything() -> None:
    faults = Faults(latency_ms=5, edit_between_pages=1)
    faults.add("502")
    faults.clear()
    assert (plays(faults), faults.latency_ms, faults.edit_between_pages) == (None, 0, None)


@pytest.mark.parametrize("details", [{"name": "no such fault"}, {"name": "502", "colour": "red"}, {}])
def test_mistakes_in_a_fault_are_told(details: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="fault"):
        Fault.from_json(details)


RIGHT = json_response({"QueryResult": {"Results": [{"Name": "A story"}, *range(100)]}})


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_does_something(name: str) -> None:
    fault = Fault(name=name, rows=1)
    wrong = create_fault_response(fault, path="/slm/x", base="http://h", now=0) or apply_fault(fault, RIGHT)
    assert (wrong != RIGHT) or name in {"timeout", "slow"}


def test_a_truncated_body_has_a_length_that_fits() -> None:
    cut = apply_fault(Fault(name="truncated-json"), RIGHT)
    assert (cut.status, cut.truncate_at) == (200, None)
    assert RIGHT.body.startswith(cut.body)
    assert len(cut.body) == len(RIGHT.body) // 2


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(name="429"), ()),
        (Fault(name="429", retry_after=7), (("retry-after", "7"),)),
        (
            Fault(name="429", retry_after=7, retry_after_date=True),
            (("retry-after", "Thu, 01 Jan 1970 00:00:07 GMT"),),
        ),
    ],
)
def test_retry_after_is_seconds_a_date_or_absent(fault: Fault, expected: tuple[tuple[str, str], ...]) -> None:
    answer = create_fault_response(fault, path="/", base="http://h", now=0)
    assert answer is not None
    assert (answer.status, answer.headers) == (429, expected)


def test_the_container_page_names_the_path_and_the_reason() -> None:
    page = gateway.container_error(401, "/slm/webservice/v2.0/defect", "Full authentication is required")
    assert b"HTTP ERROR 401" in page.body
    assert b"Problem accessing /slm/webservice/v2.0/defect" in page.body
