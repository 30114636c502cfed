"""Operations of Accelerate that are outside the purpose of this server: each answers an error that says so."""

from typing import Any, NoReturn

from ariadne import MutationType
from graphql import GraphQLError

MESSAGES = {
    "uploadMetrics": "this server holds issues and no metrics: send metrics to HCL Accelerate",
    "uploadMetricsFile": "this server holds issues and no metrics: send metrics to HCL Accelerate",
    "upsertVSMRelease": "this server keeps no releases of its own: they come with the issues that belong to them",
}


def bind(mutation: MutationType) -> None:
    """Attach the resolvers."""
    for name, why in MESSAGES.items():
        mutation.set_field(name, _make_refusal(why))


def _make_refusal(why: str) -> Any:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise GraphQLError(why)

    return refuse
