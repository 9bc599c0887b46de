"""The methods of an address, over all the routes that share it: what the header ``Allow`` of a rejection names."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Match, Mount

_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


def allowed_methods(request: Request) -> str:
    """Return the methods that the requested address has, in alphabetical order; "" where there is nothing."""
    return ", ".join(method for method in _METHODS if _is_allowed(request, method))


def _is_allowed(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    routes = (each for each in request.app.routes if not isinstance(each, Mount))
    return any(each.matches(scope)[0] is Match.FULL for each in routes)
