"""Pure: what a value stream's file holds that HCL Accelerate draws and this host only keeps."""

from collections.abc import Iterator, Mapping
from typing import Any

from rally_accelerate.host.streams.document import stages_of

#: Keys whose entries are counted, and what one of them is called.
LISTS = {"metrics": "metric", "metricsBar": "entry of the metrics bar", "linkRules": "link rule"}

PLURALS = {"entry of the metrics bar": "entries of the metrics bar"}


def undrawn(document: Mapping[str, Any]) -> str:
    """Such things with their numbers, as the end of a sentence; empty when there are none.

    Args:
        document: Of a value stream; it is right.
    """
    return ", ".join(
        f"{count} {word if count == 1 else PLURALS.get(word, word + 's')}" for word, count in _held(document)
    )


def _held(document: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for key, word in LISTS.items():
        if some := document.get(key):
            yield word, len(some)
    stages = [stage for _, stage in stages_of(document)]
    for key, word in (("gates", "gate"), ("targets", "target")):
        if count := sum(len(stage.get(key) or ()) for stage in stages):
            yield word, count
