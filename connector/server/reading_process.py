"""The process that reads what strangers wrote: one request at a time from stdin, one result to stdout.

See ``connector.bounded_work``. It opens no file, no database and no connection, and imports as little as it can.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import sys

import msgspec

from connector.bounded_work import CheckedPolicy, Request, Work, read_frame, write_frame
from connector.emails.inbound.posted_email import read_posted_email
from connector.emails.inbound.posted_statement import read_posted_statement
from connector.emails.inbound.received_message import read_message
from policies.fee_checks import fee_warnings
from policies.policy import PolicyError, ReminderPolicy

_MEMORY_BYTES_MAX = 2**30


def main() -> None:
    """Work until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then closes the pipe
    with contextlib.suppress(OSError, ValueError):  # not every system has this limit
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))
    while (frame := read_frame(sys.stdin.buffer)) is not None:
        request = msgspec.msgpack.decode(frame, type=Request)
        signal.setitimer(signal.ITIMER_REAL, request.seconds)  # without a handler: it ends the process in any case
        try:
            result = msgspec.msgpack.encode(_do(request))
        except Exception as error:  # noqa: BLE001 - odd text raises anything; a type alone quotes nobody
            result = msgspec.msgpack.encode(type(error).__name__)
        signal.setitimer(signal.ITIMER_REAL, 0)
        write_frame(sys.stdout.buffer, result)


def _do(request: Request) -> object:
    if request.work is Work.READ_REPLY:
        return read_posted_email(request.context, request.text)
    if request.work is Work.READ_MESSAGE:
        return read_message(request.text)
    if request.work is Work.READ_STATEMENT:
        return read_posted_statement(request.context, request.text)
    return check_policy(request.text.decode())


def check_policy(document: str) -> CheckedPolicy:
    """Return what is wrong with a policy document, or what to know about its late fees."""
    try:
        return CheckedPolicy(notes=fee_warnings(ReminderPolicy.from_toml(document)))
    except PolicyError as error:
        return CheckedPolicy(problems=[(each.line, each.text) for each in error.problems])


if __name__ == "__main__":
    main()
