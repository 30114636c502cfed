"""Settings for tests that speak to a Rally, with a key that is plainly a sample."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from rally_accelerate.config.model import Properties
from rally_accelerate.rally.client import RallyClient

KEY = "_sampleKeyForTests0000000000"

#: Opens a client of an address, with further settings by the names of the JSON file.
Connect = Callable[..., AbstractAsyncContextManager[RallyClient]]


def properties(base_url: str, **more: object) -> Properties:
    """The settings for a server, by the names of the JSON file; logs in by the sample key unless told otherwise."""
    login = {} if "username" in more or "apiKey" in more else {"apiKey": KEY}
    return Properties.model_validate({"baseUrl": base_url, **login, **more})
