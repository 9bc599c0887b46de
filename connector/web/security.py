"""The outermost layer of the web app: rejects foreign Host headers (DNS rebinding) and adds security headers."""

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
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers hide the origin of our own forms
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HTTPS_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}  # a year, for this host alone


def base_url_port(base_url: str) -> int:
    """Return the port a browser uses for the installation's base URL."""
    parts = urlsplit(base_url)
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def trusted_hosts(base_url: str, *more: str) -> set[str]:
    """Return the host names that this installation answers to: its base URL's and the local machine's."""
    hosts = {urlsplit(base_url).hostname or "", *more}
    return {host.lower() for host in hosts if host} | {"localhost", "127.0.0.1", "::1"}


def is_trusted_host(host_header: str, hosts: Iterable[str]) -> bool:
    """Return whether a Host header names one of ``hosts``; the port does not matter."""
    try:
        return (urlsplit(f"//{host_header}").hostname or "") in set(hosts)
    except ValueError:
        return False


class SecurityMiddleware:
    """Checks the Host header of each request and adds the security headers to each response."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], *, https: bool = False) -> None:
        """Wrap ``app``, for requests to one of ``hosts``; with ``https``, browsers are told never to use plain HTTP."""
        self._app = app
        self._hosts = set(hosts)
        headers = {**SECURITY_HEADERS, **(_HTTPS_HEADERS if https else {})}
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                existing = message.get("headers", [])
                names = {name.lower() for name, _value in existing}  # a page may set a stricter policy of its own
                message["headers"] = [*existing, *(pair for pair in self._headers if pair[0] not in names)]
            await send(message)

        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if is_trusted_host(host, self._hosts):
            await self._app(scope, receive, send_with_headers)
        else:
            response = PlainTextResponse("This is not the address of this duewell.\n", status_code=421)
            await response(scope, receive, send_with_headers)
