"""The web app over real HTTP, for tests that come in by its public address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from connector.app_context import AppContext
from connector.web.app import make_app


class FakeScheduler:
    """A scheduler that is always alive and runs nothing."""

    def is_alive(self) -> bool:
        return True


@contextmanager
def serving(app: AppContext) -> Iterator[int]:
    """Serve the web app on a free local port and yield it."""
    server = uvicorn.Server(uvicorn.Config(make_app(app, FakeScheduler()), log_config=None, lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(timeout=10)
