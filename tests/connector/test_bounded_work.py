"""The process that reads what strangers wrote: it ends in time, holds no secrets, and is replaced where it ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector import bounded_work
from connector.bounded_work import BoundedWorker, CheckedPolicy, Request, Work, WorkFailed, WorkRefused

CHECK = Request(Work.CHECK_POLICY, b"[thank_you]\nenabled = maybe\n", 20)


@pytest.fixture(scope="module")
def worker() -> Iterator[BoundedWorker]:
    made = BoundedWorker()
    yield made
    made.close()


def test_work_is_done_in_another_process(worker: BoundedWorker) -> None:
    [(line, problem)] = worker.run(CHECK, CheckedPolicy).problems
    assert (line, "TOML" in problem) == (2, True)


def test_work_that_takes_too_long_is_given_up_and_the_next_is_done(worker: BoundedWorker) -> None:
    with pytest.raises(WorkFailed, match="took too long"):
        worker.run(Request(Work.CHECK_POLICY, b"", 1e-6), CheckedPolicy)
    assert worker.run(CHECK, CheckedPolicy).problems


def test_work_that_fails_says_so_without_quoting_anybody(worker: BoundedWorker) -> None:
    with pytest.raises(WorkFailed, match=r"^it failed$"):
        worker.run(Request(Work.CHECK_POLICY, b"\xff", 20), CheckedPolicy)
    assert worker.run(CHECK, CheckedPolicy).problems


def test_only_a_few_wait_for_it(worker: BoundedWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_run", lambda _request, _type: worker.run(CHECK, CheckedPolicy))
    monkeypatch.setattr(
        worker, "_turn", worker._waiting.__class__(bounded_work.WAITING_MAX)
    )  # so that all wait at once
    with pytest.raises(WorkRefused):
        worker.run(CHECK, CheckedPolicy)


def test_it_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}

    def start(*_command: object, env: dict[str, str], **_more: object) -> None:
        seen.update(env)
        raise OSError

    monkeypatch.setenv("SENDGRID_API_KEY", "SG.secret")
    monkeypatch.setenv("DUEWELL_SECRET_KEYS", "secret")
    monkeypatch.setattr("connector.bounded_work.subprocess.Popen", start)
    with pytest.raises(WorkFailed):
        BoundedWorker().run(CHECK, CheckedPolicy)
    assert set(seen) <= {"PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "PYTHONPATH"}
