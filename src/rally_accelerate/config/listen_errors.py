"""Explanations of addresses and ports that the server cannot listen on."""

import errno

from rally_accelerate.errors import ConfigError

#: How the port is chosen on the command line.
PORT_OPTION = "with --port (0 takes a free one)"


def explain_listen_error(error: Exception, *, address: str, port: int, choose: str = PORT_OPTION) -> ConfigError:
    """Return the error for an address and port that cannot be used.

    Args:
        error: What the operating system said.
        address: The address to listen on.
        port: The port.
        choose: How to choose another port.
    """
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            text = f"port {port} on {address} is already in use"
            hint = f"Choose another port {choose}, or stop the program that uses it."
        case errno.EACCES:
            text = f"port {port} on {address} may not be used by this user"
            hint = f"Choose a port above 1023 {choose}."
        case _:
            text = f"cannot listen on {address} port {port}: {getattr(error, 'strerror', None) or error}"
            hint = f"Choose another port {choose}, or another address of this machine."
    return ConfigError(text, hint=hint)
