"""Ports for servers that cannot choose one themselves and tell it."""

import socket


def reserve_port() -> int:
    """Return a port of 127.0.0.1 that the kernel gives to nobody for a minute, and that a server can still listen on.

    A connection that was closed from this side leaves the port in the state TIME_WAIT: it is chosen for no other socket,
    but servers, which set SO_REUSEADDR, can take it.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()
    return port
