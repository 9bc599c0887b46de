"""What the dearest request that a stranger can make costs at every door that is open without signing in.

``python -m benchmarks.doors`` starts ``duewell serve`` with everything set up, knocks at each public door with the
largest request it takes, none of which proves anything, and prints the server's processor time per request, in
milliseconds. A password is costly to check by design: that door is measured like the others and judged by what it does
to other pages, which are requested while 60 sign-ins wait. It exits with 1 where a door costs more than 50 ms, a page
takes more than 300 ms meanwhile, or a public route has no row here.

The requests are large and plain: they show what our own limits cost, and hurt no library.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import requests

from benchmarks import webhook_payloads
from connector.app_context import AppContext, open_app
from connector.auth.sessions import Browser
from connector.auth.sign_in import create_link, set_password
from connector.auth.users import add_user
from connector.db.engine import writing
from connector.settings import load_settings
from connector.web.app import ROUTES, make_app
from connector.web.routes import PUBLIC
from providers.sendgrid import webhook

MAX_MS, MAX_PAGE_MS, WAITING = 50.0, 300.0, 60
REPLIES, TOKEN = "reply.bench.example", "a" * 32
PASSWORD = "seven ochre lanterns drift past"  # noqa: S105 - of a database that lives for a minute
_MIB, _TICKS_PER_SECOND = 2**20, os.sysconf("SC_CLK_TCK")
ANY = 0
_SENDGRID_SIGNATURE = (f"{webhook.SIGNATURE}: MEUCIQ==", f"{webhook.TIMESTAMP}: 1")
_HEADER = "x" * 30_000  # a request's head may have 64 KiB in all
_LONG = "a" * 40_000
_FORM = "Content-Type: application/x-www-form-urlencoded"
_FIELDS = "&".join(f"f{n}={'x' * 110}" for n in range(2000)).encode()[: 256 * 1024]
_COOKIES = "Cookie: " + "; ".join(f"c{n}=x" for n in range(4000))


class Door(NamedTuple):
    """A public route and the dearest request a stranger can make of it.

    ``paths`` are the routes it stands for. ``code`` is the status that shows that nothing refused it earlier (``ANY``:
    the connection may be closed instead). ``times`` is how often it is requested: fewer times than its limit per hour.
    """

    paths: str
    dearest: str
    code: int
    request: bytes
    times: int = 12
    source: str = "127.0.0.1"


def main() -> int:
    """Serve, knock at every door, sign in sixty times at once, and compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/security.md")
    asked = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "home"
        port = _free_port()
        own = _settings(home, port)
        missing = _prepare(own)
        server = stack.enter_context(_running_server(own, port))
        doors = list_doors(port)
        costs = [(door, _cost_ms(server, port, door)) for door in doors]
        password_ms = _cost_ms(server, port, _password_door(port))
        waits = _pages_while_signing_in(port)
    return _report(costs, password_ms, waits, missing, markdown=asked.markdown)


def _settings(home: Path, port: int) -> dict[str, str]:
    home.mkdir(mode=0o700)
    return {
        "DUEWELL_HOME": str(home),
        "DUEWELL_DATABASE_URL": f"sqlite:///{home}/duewell.db",
        "DUEWELL_BASE_URL": f"http://localhost:{port}",
        "MAIL_REPLY_DOMAIN": REPLIES,
        "XERO_CLIENT_ID": "bench",
        "XERO_WEBHOOK_KEY": webhook_payloads.XERO.key,
        "QUICKBOOKS_WEBHOOK_TOKEN": webhook_payloads.QUICKBOOKS.key,
        "SENDGRID_WEBHOOK_PUBLIC_KEY": webhook_payloads.SENDGRID.public_key,
    }


def _prepare(own: dict[str, str]) -> set[str]:
    """Add an owner with a password, and return the public routes that have no row here."""
    app = open_app(load_settings(**{name.lower(): value for name, value in own.items()}))
    with writing(app.engine) as session:
        link = create_link(
            session, add_user(session, "owner@example.com", "owner", by="bench", at=app.now()), app.now()
        )
    set_password(app, link, PASSWORD, Browser())
    missing = public_routes(app) - {path for door in list_doors(0) for path in door.paths.split()}
    app.close()
    return missing


def public_routes(app: AppContext) -> set[str]:
    """Return the paths that are open without signing in, and those that check a link, a signature or a token."""

    class _NoScheduler:
        def is_alive(self) -> bool:
            return True

    gated = {route.path for route in ROUTES if route.min_role is not PUBLIC}
    paths = {getattr(route, "path", "") for route in make_app(app, _NoScheduler()).routes}
    return {path for path in paths if path and path not in gated} | {"/api/v1/openapi.json"}


def list_doors(port: int) -> list[Door]:
    """Return every public door, with the dearest request that a stranger can make of it."""
    return [*_service_doors(port), *_sign_in_doors(port), *_customer_doors(port), *_webhook_doors(port), *_others(port)]


def _service_doors(port: int) -> list[Door]:
    return [
        Door("/healthz", "a long head", 200, _get(port, "/healthz", f"X-Long: {_HEADER}", _COOKIES[:20_000])),
        Door("/readyz", "a query of the database", 200, _get(port, "/readyz")),
        Door("/metrics", "counts of every table", 200, _get(port, "/metrics")),
        Door(
            "/static/style.css /static/passkeys.js /static/lists.js /static/live.js /static/policy.js"
            " /static/review.js /static/brand.js /static/icon.svg",
            "a long head",
            200,
            _get(port, "/static/style.css", _COOKIES),
        ),
        Door("/runs/{run:int}/events", "no session", 404, _get(port, "/runs/1/events", _COOKIES)),
        Door("/callback/{provider_name}", "a query of 40 kB", 400, _get(port, f"/callback/xero?code=1&state={_LONG}")),
    ]


def _sign_in_doors(port: int) -> list[Door]:
    return [
        Door("/sign-in", "many cookies, a long way back", 200, _get(port, f"/sign-in?next=/{'x' * 20_000}", _COOKIES)),
        Door("/sign-in/passkey", "a form of 256 kB", 401, _post_form(port, "/sign-in/passkey")),
        Door("/sign-in/sso", "single sign-on that is not set up", 401, _get(port, "/sign-in/sso", _COOKIES)),
        Door("/sign-in/sso/callback", "a query of 40 kB", 401, _get(port, f"/sign-in/sso/callback?state={_LONG}")),
        Door(
            "/welcome/{link}",
            "a form of 256 kB to a made-up link",
            404,
            _post_form(port, f"/welcome/{_LONG[:9000]}"),
        ),
    ]


def _customer_doors(port: int) -> list[Door]:
    portal = (
        "/c/{token} /c/{token}/account /c/{token}/account/{currency}.pdf /c/{token}/brand.css "
        "/c/{token}/check/{key} /c/{token}/invoice/{invoice}.pdf /c/{token}/invoices.zip "
        "/c/{token}/language /c/{token}/logo.png /c/{token}/pay /c/{token}/pay/{invoice} "
        "/c/{token}/statement/{currency}.pdf /c/{token}/tell/{kind} "
        "/c/{token}/transfer/{currency}.png /c/{token}/undo/{key}"
    )
    languages = "Accept-Language: " + ",".join(f"xx;q=0.{n % 10}" for n in range(4000))
    small_form = _post(port, f"/c/{TOKEN}/tell/paid", _FIELDS[: 32 * 1024], _FORM, languages)
    long_link = _post(port, f"/stop-mail/{_LONG[:9000]}", b"", languages)
    return [
        Door("/stop/{token}", "a made-up link, 4,000 languages", 404, _post(port, f"/stop/{TOKEN}", b"", languages)),
        Door("/stop-mail/{token}", "a made-up link of 9 kB", 404, long_link),
        Door(portal, "a form of 32 kB to a made-up link", 404, small_form),
    ]


def _webhook_doors(port: int) -> list[Door]:
    body, dearest = b"x" * (2 * _MIB), "wrong signature under 2 MiB"
    signatures = {
        "sendgrid": _SENDGRID_SIGNATURE,
        "xero": ("x-xero-signature: x",),
        "quickbooks": ("intuit-signature: x",),
    }
    inbound, multipart = "/webhooks/sendgrid-inbound", "Content-Type: multipart/form-data; boundary=b"
    medium, large = (_post(port, inbound, _email(size), multipart) for size in (12 * _MIB - 1000, 31 * _MIB))
    return [
        *(
            Door(f"/webhooks/{name}", dearest, 401, _post(port, f"/webhooks/{name}", body, *signature))
            for name, signature in signatures.items()
        ),
        Door(inbound, "12 MB to a made-up address", 200, medium),
        Door(inbound, "31 MB to a made-up address", ANY, large),
    ]


def _others(port: int) -> list[Door]:
    bearer = "Authorization: Bearer duewell_x"
    operation = _post(port, "/api/v1/policy/check", b"x" * _MIB, bearer)
    return [
        Door("/api/v1 /api/v1/openapi.json", "the document of the API", 200, _get(port, "/api/v1/openapi.json")),
        Door("(an operation of the API)", "1 MB with a made-up token", 401, operation),
        Door("(a page)", "a form of 256 kB without a session", 401, _post_form(port, "/policy/document")),
        Door(
            "(a page that takes files)", "4,000 fields without a session", 401, _post_parts(port, "/companies/1/bank")
        ),
        Door("(no such page)", "an address of 40 kB", 404, _get(port, "/" + _LONG)),
        Door("(no HTTP)", "64 kB that are no request", 400, b"x" * 64_000 + b"\r\n\r\n"),
        Door("(any)", "a body in pieces of one byte", ANY, _in_small_pieces(port)),
    ]


def _password_door(port: int) -> Door:
    body = b"email=stranger@example.com&password=" + b"x" * 200
    request = _post(port, "/sign-in", body, _FORM, _origin(port))
    return Door("/sign-in (POST)", "a password is checked", 401, request, times=8, source="127.0.0.99")


def _get(port: int, path: str, *headers: str) -> bytes:
    return _request(port, "GET", path, b"", headers)


def _post(port: int, path: str, body: bytes, *headers: str) -> bytes:
    return _request(port, "POST", path, body, headers)


def _post_form(port: int, path: str) -> bytes:
    """Return a request with the largest form that a page takes."""
    return _post(port, path, _FIELDS, _FORM, _origin(port))


def _post_parts(port: int, path: str) -> bytes:
    """Return a request with as many parts as a form of that size can have."""
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'
    return _post(port, path, part * 4000 + b"--b--\r\n", "Content-Type: multipart/form-data; boundary=b", _origin(port))


def _request(port: int, method: str, path: str, body: bytes, headers: tuple[str, ...]) -> bytes:
    head = [f"{method} {path} HTTP/1.1", f"Host: localhost:{port}", "Connection: close", *headers]
    if body or method == "POST":
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def _origin(port: int) -> str:
    return f"Origin: http://localhost:{port}"


def _email(size: int) -> bytes:
    stranger = f"reply+{TOKEN}@{REPLIES}"
    parts = {"to": stranger, "headers": f"To: {stranger}\n", "charsets": '{"text": "utf-8"}', "text": "x" * size}
    return (
        b"".join(
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in parts.items()
        )
        + b"--b--\r\n"
    )


def _in_small_pieces(port: int) -> bytes:
    head = f"POST /webhooks/xero HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n"


def _cost_ms(server: subprocess.Popen[bytes], port: int, door: Door) -> float:
    first = _status(_knock(port, door.request, door.source))  # it may load something
    assert door.code in {first, ANY}, (door.paths, first)  # noqa: S101 - something else would be measured
    began = _processor_s(server.pid)
    for _ in range(door.times):
        _knock(port, door.request, door.source)
    time.sleep(0.3)
    return (_processor_s(server.pid) - began) * 1000 / door.times


def _knock(port: int, request: bytes, source: str = "127.0.0.1") -> bytes:
    """Send a request and return the beginning of the response, also where the server does not read all of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=120, source_address=(source, 0)) as connection:
        with contextlib.suppress(OSError):  # it has answered and closed already
            connection.sendall(request)
        try:
            first = connection.recv(2000)
            while connection.recv(65536):
                pass
        except OSError:
            return b""
        return first


def _processor_s(pid: int) -> float:
    """Return the processor time of a process and of its children so far, in seconds."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    total = 0
    for each in [str(pid), *children]:
        stat = Path(f"/proc/{each}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += sum(map(int, stat[11:15]))
    return total / _TICKS_PER_SECOND


def _pages_while_signing_in(port: int) -> tuple[list[float], dict[int, int]]:
    """Request pages while 60 sign-ins wait; return the milliseconds each took, and how the sign-ins were answered."""
    codes: list[int] = []
    request = _password_door(port).request.replace(b"stranger@", b"person%02d@")
    threads = [
        threading.Thread(target=lambda n=n: codes.append(_status(_knock(port, request % n, f"127.0.1.{n // 6 + 1}"))))
        for n in range(WAITING)
    ]
    taken: list[float] = []
    for thread in threads:
        thread.start()
    with requests.Session() as http:
        while any(thread.is_alive() for thread in threads):
            for path in ("/healthz", "/sign-in", "/readyz"):
                began = time.perf_counter()
                http.get(f"http://localhost:{port}{path}", timeout=60)
                taken.append((time.perf_counter() - began) * 1000)
    return taken, {code: codes.count(code) for code in sorted(set(codes))}


def _status(response: bytes) -> int:
    found = re.match(rb"HTTP/1.1 (\d+)", response)
    return int(found.group(1)) if found else 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def _running_server(own: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "connector.cli.main", "serve", "--port", str(port)]
    environment = {**{name: value for name, value in os.environ.items() if not name.startswith("DUEWELL_")}, **own}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_until_ready(port)
            yield server
        finally:
            server.terminate()


def _wait_until_ready(port: int) -> None:
    for _attempt in range(300):
        try:
            if requests.get(f"http://localhost:{port}/healthz", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    message = "the server did not start"
    raise RuntimeError(message)


def _report(
    costs: list[tuple[Door, float]],
    password_ms: float,
    waits: tuple[list[float], dict[int, int]],
    missing: set[str],
    *,
    markdown: bool,
) -> int:
    taken, codes = waits
    if markdown:
        sys.stdout.write("| door | the dearest a stranger can ask of it | ms |\n|---|---|---|\n")
    for door, cost in costs:
        line = (
            f"| {markdown_cells(door)} | {cost:.1f} |" if markdown else f"{cost:7.1f} ms  {door.paths}: {door.dearest}"
        )
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"a password that is checked: {password_ms:.0f} ms of processor time\n")
    answers = ", ".join(f"{count} times {code}" for code, count in codes.items())
    sys.stdout.write(
        f"while {WAITING} sign-ins wait ({answers}): pages take {median(taken):.0f} ms in the median,"
        f" {max(taken):.0f} ms at most, of {len(taken)}\n"
    )
    for path in sorted(missing):
        sys.stdout.write(f"no row for the public route {path}\n")
    is_costly = any(cost > MAX_MS for _door, cost in costs)
    return int(is_costly or max(taken) > MAX_PAGE_MS or bool(missing))


def markdown_cells(door: Door) -> str:
    """Return a door as the first two cells of its row in docs/security.md."""
    routes = door.paths if door.paths.startswith("(") else ", ".join(f"`{path}`" for path in door.paths.split())
    return f"{routes} | {door.dearest}"


if __name__ == "__main__":
    sys.exit(main())
