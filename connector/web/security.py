"""Stands before every route: refuses foreign Host headers (DNS rebinding), puts security headers on every answer."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache, no-store",
    "Referrer-Policy": "same-origin",  # not "no-referrer": a browser then hides where a form of ours was sent from
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HTTPS_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}  # a year, for this name alone


def base_url_port(base_url: str) -> int:
    """The port a browser uses for the installation's own address."""
    parts = urlsplit(base_url)
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def trusted_hosts(base_url: str, *more: str) -> set[str]:
    """The names this installation answers to: its own address and this machine."""
    given = {urlsplit(base_url).hostname or "", *more}
    return {name.lower() for name in given if name} | {"localhost", "127.0.0.1", "::1"}


def is_trusted_host(host_header: str, hosts: Iterable[str]) -> bool:
    """Tell whether a Host header names this installation; the port does not matter."""
    try:
        return (urlsplit(f"//{host_header}").hostname or "") in set(hosts)
    except ValueError:
        return False


class SecurityMiddleware:
    """The outermost layer of the web app."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], *, https: bool = False) -> None:
        """Stand before ``app`` and let in what asks for one of ``hosts``; with ``https`` browsers never go without."""
        self._app = app
        self._hosts = set(hosts)
        given = {**SECURITY_HEADERS, **(_HTTPS_HEADERS if https else {})}
        self._headers = [(name.lower().encode(), value.encode()) for name, value in given.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message.get("headers", [])
                own = {name.lower() for name, _value in given}  # a page may be stricter, or framed by ours
                message["headers"] = [*given, *(pair for pair in self._headers if pair[0] not in own)]
            await send(message)

        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if is_trusted_host(host, self._hosts):
            await self._app(scope, receive, send_with_headers)
        else:
            refused = PlainTextResponse("This is not the address of this duewell.\n", status_code=421)
            await refused(scope, receive, send_with_headers)
