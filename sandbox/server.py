"""The sandbox as one object and one server: all vendors on one port, told apart by their paths."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from sandbox import quickbooks, sendgrid, xero
from sandbox.clock import SandboxClock
from sandbox.control import control_routes
from sandbox.core import SandboxCore, SimulatedVendor
from sandbox.faults import FaultScript
from sandbox.request_gate import RequestGate, RequestLog


class Sandbox:
    """Make-believe vendors with a shared clock, request log and fault script.

    ``xero``, ``quickbooks`` and ``sendgrid`` are the vendors' state, to look into and to change. Change it from other
    threads through its own methods: they take the lock that the server holds while it answers.
    """

    def __init__(self, seed: int = 1, now: datetime | None = None) -> None:
        """Begin at ``now`` (the clock stands until moved), or at the real time (the clock runs)."""
        self.clock = SandboxClock(now)
        self.core = SandboxCore(seed, self.clock, self.clock.now())
        self.requests = RequestLog()
        self.faults = FaultScript()
        self.xero = xero.make(self.core)
        self.quickbooks = quickbooks.make(self.core)
        self.sendgrid = sendgrid.make(self.core)
        self.vendors: dict[str, SimulatedVendor] = {
            "xero": self.xero,
            "quickbooks": self.quickbooks,
            "sendgrid": self.sendgrid,
        }
        routes = [route for vendor in self.vendors.values() for route in vendor.routes()]
        app = Starlette(routes=[*routes, *control_routes(self)])
        zipped = GZipMiddleware(app, minimum_size=500, compresslevel=1)
        self.app = RequestGate(zipped, self.clock, self.requests, self.faults)

    def settings(self, url: str) -> dict[str, str]:
        """Return the environment that points a duewell at this sandbox served at ``url``."""
        return {name: value for vendor in self.vendors.values() for name, value in vendor.settings(url).items()}

    @contextmanager
    def serve(self, port: int = 0) -> Iterator[str]:
        """Serve on 127.0.0.1 in a thread (port 0: any free one) and yield the URL; stop at the end."""
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
        # uvicorn's protocol without its Server: that one polls ten times a second and minds signals, which costs
        # every test a tenth of a second and its Ctrl-C.
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
    """uvicorn's HTTP, with the connection in reach of the gate, which may have to cut it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


@contextmanager
def _listen(port: int) -> Iterator[socket.socket]:
    # asyncio switches Nagle off only where the protocol is said: without it each reply waits 40 ms.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)  # connections wait here until the loop runs, so nobody has to wait for a start
        yield listener
