"""Serves the sandbox: all services on one port, distinguished by their paths."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime
from functools import partial
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from sandbox import gmail, microsoft365, quickbooks, sendgrid, xero
from sandbox.control import control_routes
from sandbox.request_gate import RequestGate
from sandbox.state import SandboxState


class Sandbox(SandboxState):
    """Simulated services that can be served over HTTP."""

    def __init__(self, seed: int = 1, now: datetime | None = None) -> None:
        """Start at ``now`` with a frozen clock, or at the real time with a running one."""
        super().__init__(seed, now)
        self.app = self._make_app()

    def _make_app(self) -> RequestGate:
        routes = [
            *xero.routes(self.xero),
            *quickbooks.routes(self.quickbooks),
            *sendgrid.routes(self.sendgrid),
            *microsoft365.routes(self.microsoft365),
            *gmail.routes(self.gmail),
        ]
        app = Starlette(routes=[*routes, *control_routes(self)])
        compressed = GZipMiddleware(app, minimum_size=500, compresslevel=1)
        return RequestGate(compressed, self.clock, self.requests, self.faults)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a sandbox that goes on from here without changing this one, which must not be served meanwhile."""
        copied = memo[id(self)] = object.__new__(type(self))
        released = threading.Event()
        released.set()
        memo[id(self.core.lock)] = threading.RLock()
        memo[id(self.clock.lock)] = threading.RLock()
        memo[id(self.faults.lock)] = threading.Lock()
        memo[id(self.xero.api.released)] = released
        copied.__dict__ |= {name: deepcopy(value, memo) for name, value in vars(self).items() if name != "app"}
        copied.app = copied._make_app()
        return copied

    @contextmanager
    def serve(self, port: int = 0) -> Iterator[str]:
        """Serve on 127.0.0.1 in a thread (on any free port for 0) and yield the URL; stop at the end."""
        with _listen(port) as listener:
            loop = asyncio.new_event_loop()
            stop = asyncio.Event()
            thread = threading.Thread(target=self._run, args=(loop, listener, stop), name="sandbox", daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                loop.call_soon_threadsafe(stop.set)
                thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop, listener: socket.socket, stop: asyncio.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._until(stop, listener))

    async def _until(self, stop: asyncio.Event, listener: socket.socket) -> None:
        # uvicorn's protocol without its Server, which polls ten times a second and handles signals: that would cost
        # every test a tenth of a second, and Ctrl-C.
        config = uvicorn.Config(self.app, log_level="critical", access_log=False, lifespan="off", ws="none")
        config.load()
        state = ServerState()
        factory = partial(_Protocol, config=config, server_state=state, app_state={})
        server = await asyncio.get_running_loop().create_server(factory, sock=listener)
        await stop.wait()
        server.close()
        for connection in tuple(state.connections):
            connection.transport.abort()


class _Protocol(H11Protocol):
    """uvicorn's HTTP protocol that gives the request gate access to the connection, so that it can close it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


@contextmanager
def _listen(port: int) -> Iterator[socket.socket]:
    # asyncio disables Nagle's algorithm only if the protocol is named: otherwise each reply waits 40 ms.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)  # connections wait here until the loop runs, so that nobody has to wait for the start
        yield listener
