"""Which of the host's own runs is at work, for whatever happens inside it: several go on in one process."""

from contextvars import ContextVar

#: The execution's id; empty outside of a run. A run's uploads stay in its context, as they take no socket.
execution: ContextVar[str] = ContextVar("execution", default="")
