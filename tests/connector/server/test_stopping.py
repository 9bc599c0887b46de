"""Stopping: the process ends although a request or a run does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from connector.server import serve


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []
    monkeypatch.setattr(serve, "_exit", codes.append)
    return codes


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_request_thread_that_does_not_end_keeps_no_process_alive(
    exits: list[int], release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "THREADS_END_S", 0)
    serve._exit_despite_request_threads()
    assert exits == []
    threading.Thread(target=release.wait, name="AnyIO worker thread").start()
    serve._exit_despite_request_threads()
    assert exits == [0]


def test_a_run_that_does_not_end_keeps_no_process_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    monkeypatch.setattr(serve, "_exit", end)
    with serve._forced_exit_after(0):
        assert ended.wait(10)
    assert codes == [1]


def test_a_server_that_stops_in_time_exits_as_it_always_does(exits: list[int]) -> None:
    with serve._forced_exit_after(1000):
        pass
    assert exits == []
