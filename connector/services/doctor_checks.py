"""What the doctor's checks share: findings and their status, and requests to the configured hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import requests

from connector.app_context import AppContext

OK, WARNING, ERROR = "ok", "warning", "error"
_TIMEOUT_SECONDS = 5


class Finding(NamedTuple):
    """The result of a check; ``fix`` says what to do, "" where nothing has to be done."""

    id: str
    status: str
    message: str
    fix: str = ""


Check = Callable[[AppContext], Iterator[Finding]]


def get(url: str, authorization: str = "") -> requests.Response:
    """Request a URL of a configured host, without a proxy: the request may contain a key."""
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": authorization} if authorization else {}
        return session.get(url, headers=headers, timeout=_TIMEOUT_SECONDS, allow_redirects=False)
