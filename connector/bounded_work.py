"""Reads what strangers wrote in a process of its own, which is killed where it takes too long.

Emails and policy documents go through libraries that were not made for hostile text. In a thread of the server they
could keep it from answering, and even from stopping: a thread cannot be ended. The process is started when it is first
needed, gets no secrets in its environment, and does one thing at a time. Its alarm ends it also where nobody waits for
it any more.
"""

from __future__ import annotations

import atexit
import logging
import os
import selectors
import struct
import subprocess
import sys
import threading
import time
from enum import StrEnum
from typing import IO, TypeVar

import msgspec

from connector.errors import Busy

log = logging.getLogger("duewell.bounded_work")
MODULE = "connector.server.reading_process"  # what the process runs
START_S = 30  # for its start, beside the time of the work
WAITING_MAX = 8
_LENGTH = struct.Struct(">I")
_REPLY_BYTES_MAX = 4 * 2**20
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT")
T = TypeVar("T")


class Work(StrEnum):
    """What the process can do."""

    READ_REPLY = "read_reply"
    READ_MESSAGE = "read_message"
    READ_STATEMENT = "read_statement"
    CHECK_POLICY = "check_policy"


class Request(msgspec.Struct):
    """One piece of work: ``seconds`` is all the time it may take."""

    work: Work
    text: bytes
    seconds: float
    context: str = ""


class CheckedPolicy(msgspec.Struct):
    """A policy document that was checked: its problems with their lines, or notes about its late fees."""

    problems: list[tuple[int, str]] = []
    notes: list[str] = []


class WorkFailed(Exception):
    """The work took too long or ended in an error; ``str()`` says which, and never what was read."""


class WorkRefused(Busy):
    """Too much other work waits."""


class BoundedWorker:
    """The process, and who waits for it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()
        self._waiting = threading.BoundedSemaphore(WAITING_MAX)

    def run(self, request: Request, result_type: type[T]) -> T:
        """Have a piece of work done and return its result.

        Raises:
            WorkFailed: it took longer than it may, or failed.
            WorkRefused: too many others wait.

        """
        if not self._waiting.acquire(blocking=False):
            message = "Too much is being read at this moment. Try again in a few seconds."
            raise WorkRefused(message)
        try:
            with self._turn:
                return self._run(request, result_type)
        finally:
            self._waiting.release()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _run(self, request: Request, result_type: type[T]) -> T:
        fresh = self._process is None or self._process.poll() is not None
        try:
            process = self._start() if fresh else self._process
            assert process is not None  # noqa: S101 - started just now, or found above
            content = self._exchange(process, msgspec.msgpack.encode(request), request.seconds + START_S * fresh)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            log.warning("%s was given up: %s", request.work, type(error).__name__)
            message = "it took too long or too much memory"
            raise WorkFailed(message) from error
        try:
            return msgspec.msgpack.decode(content, type=result_type)
        except msgspec.MsgspecError as error:
            message = "it failed"
            raise WorkFailed(message) from error

    def _start(self) -> subprocess.Popen[bytes]:
        self.close()
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(each for each in sys.path if each)
        self._process = subprocess.Popen(  # noqa: S603 - a fixed command
            [sys.executable, "-m", MODULE],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes, seconds: float) -> bytes:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        until = time.monotonic() + seconds
        write_frame(process.stdin, request)
        (length,) = _LENGTH.unpack(_read_exactly(process.stdout, _LENGTH.size, until))
        if length > _REPLY_BYTES_MAX:
            raise EOFError
        return _read_exactly(process.stdout, length, until)


def write_frame(pipe: IO[bytes], content: bytes) -> None:
    """Write one message with its length before it."""
    pipe.write(_LENGTH.pack(len(content)) + content)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes | None:
    """Return the next message; None at the end."""
    head = pipe.read(_LENGTH.size)
    return pipe.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else None


def _read_exactly(pipe: IO[bytes], count: int, until: float) -> bytes:
    found = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while len(found) < count:
            if not selector.select(max(0.0, until - time.monotonic())):
                raise TimeoutError
            chunk = os.read(pipe.fileno(), count - len(found))
            if not chunk:
                raise EOFError
            found += chunk
    return found


worker = BoundedWorker()  # one for the whole program: it holds nothing between two pieces of work
atexit.register(worker.close)
