"""What a form means: secrets are kept unless they are typed or cleared, and nothing that it does not show is lost."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.server.form_drafts import Draft, DraftStore
from rally_accelerate.server.permissions import Actor, Role
from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.web import integration_form as forms

ADA = Actor("1", "Ada", Role.EDITOR)


def stored(**properties: Any) -> StoredIntegration:
    """An integration that is there."""
    return StoredIntegration(
        id="0" * 24,
        tenant_id="t",
        name="rally",
        type="ucv-ext-rally",
        display_name="rally",
        logging_level="INFO",
        disabled=False,
        show_hidden=False,
        properties={"apiKey": "stored-key", **properties},
        state=None,
        event_states={},
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def sent(known: StoredIntegration | None, draft: Draft | None = None, /, **changes: str) -> forms.FormInput:
    """The form as a browser sends it, with some fields changed; names of properties with ``__`` for the dot."""
    shown = dict((forms.from_stored(known) if known else forms.empty()).values)
    fields = {name: text for name, text in shown.items() if text != "false"}
    fields |= {name.replace("__", "."): text for name, text in changes.items()}
    return forms.from_request(fields, draft)


def properties_of(typed: forms.FormInput, known: StoredIntegration | None) -> dict[str, Any]:
    """The properties that would be stored."""
    found: dict[str, Any] = forms.raw_of(typed, known)["properties"]
    return found


def test_a_form_that_nobody_changed_changes_nothing() -> None:
    known = stored(
        baseUrl="http://rally.example",
        projects=["A, B", "C"],
        comments=False,
        maxRequestsInFlight="3",
        typeNames='{"Story": "User Story"}',
        trackerId="elsewhere",
        apiTokenn="misspelt",
        proxyServer="http://user:word@proxy.example:80",
    )
    assert properties_of(sent(known), known) == dict(known.properties)
    assert forms.validate(sent(known), known) == {}


def test_defaults_are_left_to_the_program() -> None:
    typed = sent(None, name="x", properties__apiKey="k", properties__types="Story, Defect", properties__pageSize="1750")
    assert properties_of(typed, None) == {"apiKey": "k"}


def test_secrets_are_kept_typed_or_cleared() -> None:
    known = stored(username="u", password="stored-word")
    assert properties_of(sent(known, properties__apiKey="new"), known)["apiKey"] == "new"
    cleared = sent(known, clear__apiKey="yes")
    assert "apiKey" not in properties_of(cleared, known)
    assert properties_of(cleared, known)["password"] == "stored-word"
    # Whoever types a new one means it, whatever box is still ticked.
    both = sent(known, clear__apiKey="yes", properties__apiKey="new")
    assert properties_of(both, known)["apiKey"] == "new"


def test_what_was_typed_before_a_look_at_something_is_kept_and_can_be_taken_back() -> None:
    drafts = DraftStore()
    first = sent(None, name="x", properties__apiKey="typed-key")
    draft = drafts.store(ADA, "", values=first.values, secrets_typed=first.secrets)
    assert properties_of(sent(None, draft, name="x"), None)["apiKey"] == "typed-key"
    assert "apiKey" not in properties_of(sent(None, draft, name="x", clear__apiKey="yes"), None)


def test_secrets_never_stand_among_the_values_that_go_back_to_the_browser() -> None:
    known = stored(password="stored-word", proxyServer="http://user:planted-word@proxy.example:80")
    typed = sent(known, properties__apiKey="typed-key")
    shown = " ".join(typed.values.values())
    for secret in ("stored-key", "stored-word", "planted-word", "typed-key"):
        assert secret not in shown
        assert secret not in repr(typed)


def test_credentials_inside_a_proxys_address_get_fields_of_their_own() -> None:
    typed = sent(None, name="x", properties__proxyServer="us%40er:p%3Aw@proxy.example:80")
    assert typed.values["properties.proxyServer"] == "http://proxy.example:80"
    assert typed.values["properties.proxyUsername"] == "us@er"
    assert typed.secrets["proxyPassword"] == "p:w"


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"properties__baseUrl": "https://evil.example"}, {"properties.apiKey"}),
        ({"properties__baseUrl": "https://evil.example", "properties__apiKey": "entered"}, set()),
        ({"properties__baseUrl": ""}, {"properties.baseUrl"}),
        ({"name": " "}, {"name"}),
        ({"clear__apiKey": "yes"}, {"properties.apiKey"}),
        ({"properties__proxyServer": "http://evil.example:8080"}, set()),
        ({"properties__proxyServer": "nothing"}, {"properties.proxyServer"}),
    ],
)
def test_problems_stand_at_their_fields(changes: dict[str, str], fields: set[str]) -> None:
    assert set(forms.validate(sent(stored(), **changes), stored())) == fields


def test_a_kept_proxy_password_is_not_sent_to_another_proxy() -> None:
    known = stored(proxyServer="http://proxy.example:80", proxyUsername="u", proxyPassword="stored-word")
    found = forms.validate(sent(known, properties__proxyServer="http://evil.example:80"), known)
    assert set(found) == {"properties.proxyPassword"}


def test_a_draft_is_its_authors_alone() -> None:
    drafts = DraftStore()
    draft = drafts.store(ADA, "", values={"name": "x"}, secrets_typed={"apiKey": "planted-key"})
    other = Actor("2", "Bob", Role.ADMIN)
    assert drafts.get(other, draft.id) is None
    assert drafts.store(other, "", values={}, secrets_typed={}, draft_id=draft.id).id != draft.id
    drafts.mark_saved(other, draft.id, "z")
    assert drafts.get_saved_integration_id(ADA, draft.id) == ""
    assert drafts.get(ADA, draft.id) == draft
    assert "planted-key" not in repr(draft)
    drafts.mark_saved(ADA, draft.id, "y")
    assert (drafts.get_saved_integration_id(ADA, draft.id), drafts.get_saved_integration_id(other, draft.id)) == (
        "y",
        "",
    )
    assert drafts.get(ADA, draft.id) is None


def test_old_drafts_give_way() -> None:
    drafts = DraftStore()
    first = drafts.store(ADA, "", values={}, secrets_typed={})
    for _ in range(250):
        last = drafts.store(ADA, "", values={}, secrets_typed={})
    assert drafts.get(ADA, first.id) is None
    assert drafts.get(ADA, last.id) is not None


def test_mapping_rules_that_a_run_would_refuse_are_refused_in_the_form() -> None:
    rules = '[{"type": "Storry", "valueMapping": {"statuss": {"Done": ["Accepted"]}}}]'
    target, rule_type = forms.validate(sent(stored(), properties__fieldMapping=rules), stored())[
        "properties.fieldMapping"
    ]
    assert target.startswith("fieldMapping[0].valueMapping.statuss: ")
    assert 'did you mean "status"' in target
    assert rule_type.startswith('fieldMapping[0].type: "Storry" is no type')
    assert 'did you mean "Story"' in rule_type
