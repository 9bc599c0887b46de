"""What a check of the doctor says: a finding, its verdict, and what to do; and how a host is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import requests

from connector.app_context import AppContext

OK, WARNING, ERROR = "ok", "warning", "error"
_TIMEOUT_SECONDS = 5


class Finding(NamedTuple):
    """One line of the doctor; ``id`` names the check, ``mend`` what to do, "" where nothing is to be done."""

    id: str
    status: str
    message: str
    fix: str = ""


Check = Callable[[AppContext], Iterator[Finding]]


def get(url: str, authorization: str = "") -> requests.Response:
    """Ask one of the hosts that are set up, and no proxy on the way: the question may hold a key."""
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": authorization} if authorization else {}
        return session.get(url, headers=headers, timeout=_TIMEOUT_SECONDS, allow_redirects=False)
