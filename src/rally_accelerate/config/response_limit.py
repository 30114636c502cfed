"""The maximum size of a response in this process, set by its operator.

``answerMaxBytes`` is a setting of an integration. On a server, editors of integrations are not the operator, and
the memory of one large answer is taken from everyone: there the setting has an upper limit.
"""

import os
from contextlib import suppress
from pathlib import Path

#: The default of ``answerMaxBytes``, which is always allowed.
LEAST = 200_000_000

#: No machine's default limit is larger.
LARGEST_DEFAULT = 1_000_000_000

#: One answer, with what is read from it, needs several times its size.
SHARE_OF_MEMORY = 16

#: The file with the memory limit of a Linux container.
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")

_most: int | None = None


def set_answer_limit(most: int | None) -> None:
    """Refuse settings of ``answerMaxBytes`` above a limit in this process; None removes the limit."""
    global _most  # noqa: PLW0603 - settings are validated in many places of the process, and all must agree
    _most = most


def check_answer_limit(value: int) -> int:
    """Return a value of ``answerMaxBytes``.

    Raises:
        ValueError: It is above the operator's limit.
    """
    if _most is not None and value > _most:
        raise ValueError(
            f"is above {_most:,} bytes, the limit of this server; enter less, or have its operator raise "
            "serve --answer-limit"
        )
    return value


def get_default_limit() -> int:
    """Return the limit for a server that is started without one, by the memory of its machine or container."""
    return compute_limit(_read_memory())


def compute_limit(memory: int) -> int:
    """Return the default limit for an amount of memory in bytes."""
    return max(LEAST, min(LARGEST_DEFAULT, memory // SHARE_OF_MEMORY))


def _read_memory() -> int:
    memory = LARGEST_DEFAULT * SHARE_OF_MEMORY
    with suppress(OSError, ValueError):
        memory = min(memory, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    # "max" where there is no limit.
    with suppress(OSError, ValueError):
        memory = min(memory, int(CONTAINER_LIMIT.read_text()))
    return memory
