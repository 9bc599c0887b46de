"""Operations that cost much: each client has one of them at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from connector.api import problems
from connector.api.problems import ApiError
from connector.auth.api_tokens import ApiClient

_lock = threading.Lock()
_under_way: set[int] = set()


@contextmanager
def one_at_a_time(client: ApiClient) -> Iterator[None]:
    """Run the block unless the same client has such an operation under way; then it is told to wait."""
    with _lock:
        if client.id in _under_way:
            detail = "Another operation of this token that takes long is still under way."
            raise ApiError(problems.TOO_MANY_REQUESTS, detail, headers={"Retry-After": "5"})
        _under_way.add(client.id)
    try:
        yield
    finally:
        with _lock:
            _under_way.discard(client.id)
