"""Sockets that keep one deadline for a whole call, and remember whether any byte of the request has left.

A read timeout alone is per ``recv``: a server that drips one byte a second would hold a worker for hours. Here every
``recv`` is given only what is left of the call's time. And a failure can be told apart exactly: what was never handed
to the socket has surely not left this machine.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Call(threading.local):
    """What this thread's call under way may take and how far it got."""

    ends: float = float("inf")  # on the monotonic clock
    silence_s_max: float = 60.0
    reached_socket: bool = False
    left: bool = False

    def begin(self, whole_s_max: float, silence_s_max: float) -> None:
        """Start the clock of a new call."""
        self.ends = time.monotonic() + whole_s_max
        self.silence_s_max = silence_s_max
        self.reached_socket = False
        self.left = False


call = Call()


class _TimedReader(io.RawIOBase):
    """The receiving half of a socket; each ``recv`` waits only as long as the call may still last."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        # makefile holds a reference, so that the socket survives http.client closing its own half early
        self._raw: socket.SocketIO = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        left_s = call.ends - time.monotonic()
        if left_s <= 0:
            message = "the call took longer than it may"
            raise TimeoutError(message)
        self._socket.settimeout(min(left_s, call.silence_s_max))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """A reply that is read through the call's deadline."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedReader(sock), buffer_size=1 << 16)


class _Plain(HTTPConnection):
    """http, for loopback hosts."""

    response_class = _TimedResponse

    def connect(self) -> None:
        call.reached_socket = True
        super().connect()

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        call.left = True
        super().send(data)


class _Tls(HTTPSConnection):
    """https, for everything else."""

    response_class = _TimedResponse

    def connect(self) -> None:
        call.reached_socket = True
        super().connect()

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        call.left = True
        super().send(data)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


def keep_deadlines(pools: urllib3.PoolManager) -> None:
    """Make a pool manager open the connections of this file."""
    pools.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
