"""The server behind real proxies, with the configurations that the how-to page documents, on a port of their own."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import trustme

from support.crawler import crawl
from support.issues import UPLOAD, item, upload
from support.ports import reserve_port
from support.processes import start_command
from support.waiting import PATIENCE_SECONDS, wait_until

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "run-the-embedded-host.md").read_text()

#: Debian installs nginx where only root has it on the path.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


def block(first: str) -> str:
    """Return the code block of the page that begins with a line."""
    lines = PAGE.splitlines()
    start = lines.index(f"    {first}")
    end = next(number for number in range(start, len(lines)) if lines[number] and not lines[number].startswith("    "))
    return "\n".join(lines[start:end])


@dataclass(frozen=True)
class Seat:
    """Where a proxy runs."""

    folder: Path
    port: int
    upstream: int
    path: str

    @property
    def outside(self) -> str:
        """The address of the server as browsers see it."""
        return f"https://localhost:{self.port}{self.path}"


#: A site that exists already, with settings of its own.
EXISTING = """
server {
    listen 443 ssl;
    server_name accelerate.example.com;
    ssl_certificate     /etc/ssl/accelerate.pem;
    ssl_certificate_key /etc/ssl/accelerate.key;
    location / {
        return 404;
    }
%s
}
"""


def nginx(seat: Seat) -> list[str]:
    # As the page says: in the server block of that name.
    server = EXISTING % block("location /rally/ {") if seat.path else block("server {")
    assert "$http_host" in server
    for written, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{seat.port} ssl"),
        ("accelerate.example.com", "localhost"),
        ("/etc/ssl/accelerate.pem", str(seat.folder / "server.pem")),
        ("/etc/ssl/accelerate.key", str(seat.folder / "server.key")),
        ("127.0.0.1:8420", f"127.0.0.1:{seat.upstream}"),
    ):
        assert written in server
        server = server.replace(written, here)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {seat.folder / kind};\n" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""
    config = f"{user}daemon off;\npid {seat.folder}/pid;\nerror_log {seat.folder}/errors;\nevents {{}}\n"
    config += f"http {{\naccess_log off;\n{temporary}{server}\n}}\n"
    (seat.folder / "nginx.conf").write_text(config)
    return ["nginx", "-p", str(seat.folder), "-e", f"{seat.folder}/errors", "-c", str(seat.folder / "nginx.conf")]


def caddy(seat: Seat) -> list[str]:
    name = "tools.example.com {" if seat.path else "accelerate.example.com {"
    site = block(name).replace("127.0.0.1:8420", f"127.0.0.1:{seat.upstream}")
    # A certificate of our own: in a test, none can be fetched.
    tls = f"bind 127.0.0.1\ntls {seat.folder}/server.pem {seat.folder}/server.key\n"
    site = site.replace(name, f"https://localhost:{seat.port} {{\n{tls}")
    (seat.folder / "Caddyfile").write_text(f"{{\nadmin off\nauto_https disable_redirects\n}}\n{site}\n")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(seat.folder / "Caddyfile")]


PROXIES = {"nginx": nginx, "caddy": caddy}


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    environment = {
        **os.environ,
        "PATH": PATH,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    log = (folder / "output").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
        try:
            wait_until(lambda: _listens(port) or process.poll() is not None)
            assert process.poll() is None, (folder / "output").read_text()
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def lines_of(process: subprocess.Popen[str], *words: str) -> dict[str, str]:
    found: dict[str, str] = {}
    assert process.stdout is not None
    while not found.keys() >= set(words):
        line = process.stdout.readline()
        assert line, "the server ended"
        name, _, value = line.partition(":")
        found[name.strip()] = value.rpartition(" / ")[2].split()[0]
    return found


@pytest.mark.parametrize("path", ["", "/rally"], ids=["at the root", "below a path"])
@pytest.mark.parametrize("proxy", PROXIES)
def test_everything_works_behind_a_proxy(tmp_path: Path, proxy: str, path: str) -> None:
    if shutil.which(proxy, path=PATH) is None:
        pytest.skip(f"{proxy} is not installed")
    authority, port, upstream = trustme.CA(), reserve_port(), reserve_port()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "server.key")
    for number, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(tmp_path / "server.pem", append=number > 0)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    seat = Seat(tmp_path, port, upstream, path)
    serve = ["serve", "--port", str(upstream), "--database", str(tmp_path / "host.sqlite")]
    serve += ["--outside-url", f"{seat.outside}/", "--trusted-proxy", "127.0.0.1"]
    with start_command(*serve) as process, running(PROXIES[proxy](seat), tmp_path, port):
        told = lines_of(process, "key", "sign in")
        with httpx2.Client(verify=trusted, timeout=60) as http:
            key = {"Authorization": f"UserAccessKey {told['key']}"}
            body = {"query": UPLOAD, "variables": {"data": upload(item(1), item(2))}}
            answer = http.post(f"{seat.outside}/release-events-api/graphql", json=body, headers=key)
            assert "errors" not in answer.json()
            large = {"query": "{ productVersion }", "variables": {"a": "b" * 2_000_000}}
            assert http.post(f"{seat.outside}/release-events-api/graphql", json=large, headers=key).status_code == 200
            if path:
                bare = http.get(seat.outside)
                assert (bare.is_redirect, httpx2.URL(bare.headers["location"]).path) == (True, f"{path}/")
            # Older browsers tell where a form was sent from with its origin alone.
            origin = {"Origin": f"https://localhost:{port}"}
            assert (
                http.post(f"{seat.outside}/sign-in", data={}, headers={"Origin": "https://localhost"}).status_code
                == 403
            )
            form = {"name": "admin", "password": told["sign in"], "next": "/issues"}
            done = http.post(f"{seat.outside}/sign-in", data=form, headers=origin)
            assert (done.status_code, done.headers["location"]) == (303, f"{path}/issues")
            assert f"path={path}/;" in f"{done.headers['set-cookie'].lower()};".replace(" ", "")
            found = crawl(http, f"{seat.outside}/issues")
            assert set(found.values()) == {200}, {one: status for one, status in found.items() if status != 200}
            assert all(address.startswith(f"{seat.outside}/") for address in found)
            assert {"/issues", "/settings/integrations", "/users"} <= {one.removeprefix(seat.outside) for one in found}
            left = http.post(f"{seat.outside}/sign-out", headers=origin)
            assert (left.status_code, left.headers["location"]) == (303, f"{path}/sign-in")
