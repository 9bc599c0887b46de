"""Waiting in the terminal for the OAuth redirect: answered here, by ``serve``, or pasted by the user."""

from __future__ import annotations

import errno
import os
import queue
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from connector.app_context import AppContext
from connector.cli.terminal import format_error
from connector.connections.consent import (
    LIFETIME,
    ConsentError,
    begin_consent,
    consent_outcome,
    finish_consent,
    load_connections,
    redirect_uri,
)
from connector.db.tables import Connection
from connector.setting_types import is_loopback_host
from connector.web.callback import CallbackResult, handle_callback
from connector.web.rendering import STYLE
from connector.web.security import SECURITY_HEADERS, base_url_port, is_trusted_host, trusted_hosts

POLL_SECONDS = 0.2
_READ_BYTES = 65_536
Progress = Callable[[str], None]


def wait_for_consent(
    app: AppContext, provider_name: str, *, show_url: Progress, on_progress: Progress, browser: bool
) -> list[Connection]:
    """Start a consent, show its URL, and wait for the connections it results in.

    Raises:
        ConsentError: the consent failed, was denied or took too long; the message says what to do.

    """
    request = begin_consent(app, provider_name)
    back_to = redirect_uri(app, provider_name)
    with _serve_callback(app, provider_name, request.state, on_progress):
        show_url(request.url)
        on_progress(f"Open this address in a browser and allow access. Waiting for the redirect to {back_to}")
        on_progress("If your browser cannot open that page, paste its full address here and press Enter.")
        if browser and has_display():
            webbrowser.open(request.url)
        ids = _wait_for_outcome(app, provider_name, request.state, on_progress)
    return load_connections(app, ids)


def _wait_for_outcome(app: AppContext, provider_name: str, state: str, on_progress: Progress) -> list[int]:
    """Poll the database for the outcome, whichever process wrote it."""
    pasted = _read_pasted_lines()
    ends_at = time.monotonic() + LIFETIME.total_seconds()
    while time.monotonic() < ends_at:
        outcome = consent_outcome(app, state)
        if outcome is not None:
            if "error" in outcome:
                raise ConsentError(outcome["error"])
            for note in outcome.get("notes", []):
                on_progress(note)
            return list(outcome["connections"])
        try:
            line = pasted.get(timeout=POLL_SECONDS).strip()
        except queue.Empty:
            continue
        if line:
            _finish_pasted(app, provider_name, line, on_progress)
    message = (
        "Access was not granted within 15 minutes, so nothing was connected. Try again with: duewell connect"
        f" {provider_name}"
    )
    raise ConsentError(message)


def _finish_pasted(app: AppContext, provider_name: str, line: str, on_progress: Progress) -> None:
    if "state=" not in line:
        on_progress("That is not the address you were redirected to: it contains no state. Paste the full address.")
        return
    try:
        finish_consent(app, provider_name, line)
    except ConsentError as problem:
        on_progress(str(problem))  # if this consent failed, the stored outcome ends the wait


def _read_pasted_lines() -> queue.Queue[str]:
    """Read lines from stdin in a thread, from the descriptor: a buffered read would block the exit."""
    lines: queue.Queue[str] = queue.Queue()
    try:
        descriptor = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # no stdin at all, or not a real one
        return lines

    def read() -> None:
        rest = b""
        while chunk := _read_some(descriptor):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                lines.put(line.decode("utf-8", "replace"))
        if rest:
            lines.put(rest.decode("utf-8", "replace"))

    threading.Thread(target=read, daemon=True, name="pasted").start()
    return lines


def _read_some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:  # closed, or a background job that may not read: nothing can be pasted
        return b""


@contextmanager
def _serve_callback(app: AppContext, provider_name: str, state: str, on_progress: Progress) -> Iterator[None]:
    """Serve the callback at the base URL, unless the port is taken: then ``serve`` is running and answers."""
    base = app.settings.duewell_base_url
    if not is_loopback_host(urlsplit(base).hostname or ""):
        on_progress(
            f"The redirect goes to {base}. It is received by `duewell serve` if that is running there; otherwise paste"
            " the address here."
        )
        yield
        return
    try:
        server = _CallbackServer(
            ("127.0.0.1", base_url_port(base)), _build_handler(app, provider_name, state, on_progress)
        )
    except OSError as problem:
        if problem.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        on_progress(f"{base} is already in use. If that is `duewell serve` of this installation, all is well.")
        yield
        return
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _finish_callback(app: AppContext, provider_name: str, query: str) -> CallbackResult:
    """Finish the consent; an internal error is shown in browser and terminal, and the wait goes on."""
    try:
        return handle_callback(app, provider_name, query)
    except Exception as problem:  # noqa: BLE001 - a waiting browser always gets a response
        message = format_error(problem)
        page = f"<!doctype html><title>Not connected</title><p>Not connected: {escape(message)}</p>"
        return CallbackResult(500, page, message)


class _CallbackServer(ThreadingHTTPServer):
    daemon_threads = False  # the command ends only after the page was delivered
    allow_reuse_address = os.name == "posix"  # on Windows it would share the port with another process


def _build_handler(
    app: AppContext, provider_name: str, state: str, on_progress: Progress
) -> type[BaseHTTPRequestHandler]:
    hosts = trusted_hosts(app.settings.duewell_base_url)

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "duewell", ""
        timeout = 2  # seconds: browsers open connections that they never use, and the command would wait for them

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if not is_trusted_host(self.headers.get("Host", ""), hosts):
                self._answer(421, "text/plain", "This is not the address of this installation.\n")
            elif parts.path == f"/callback/{provider_name}":
                self._answer_callback(parts.query)
            elif parts.path == "/static/style.css":
                self._answer(200, "text/css", STYLE)
            else:
                self._answer(404, "text/plain", "Page not found.\n")

        def _answer_callback(self, query: str) -> None:
            answer = _finish_callback(app, provider_name, query)
            if answer.status_code != 200 and consent_outcome(app, state) is None:
                on_progress(answer.text)  # another consent than the awaited one: the wait goes on
            self._answer(answer.status_code, "text/html", answer.page)

        def _answer(self, code: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(code)
            for name, value in {**SECURITY_HEADERS, "Content-Type": f"{kind}; charset=utf-8"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Log nothing: the line would contain the authorisation code."""

    return Handler


def has_display() -> bool:
    """Return whether a graphical browser can open; without a display, Python would open one inside the terminal."""
    return sys.platform in {"darwin", "win32"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
