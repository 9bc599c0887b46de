"""An email, and counted calls."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from providers.mailer import Attachment, Email


class CallCounter:
    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.statuses: list[int] = []

    def before(self, kind: str) -> None:
        self.kinds.append(kind)

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        self.statuses.append(status)


@pytest.fixture
def calls() -> CallCounter:
    return CallCounter()


@pytest.fixture
def email() -> Email:
    return Email(
        key="quickbooks:1:c7:past_due:2026-11-20",
        attempt=1,
        to=("ada@example.com", "office@example.com"),
        to_name="Ada Lovelace",
        sender="billing@larkspur.example",
        sender_name="Larkspur Field Services",
        reply_to="books@larkspur.example",
        subject="Invoice 1038 is überfällig",
        text="Dear Ada,\n.hidden dot\n\nGrüße\n",
        html='<p>Dear Ada</p><p><a href="https://pay.example/1038">Pay invoice 1038</a></p>',
        category="reminder-past_due",
        headers=(
            ("Message-ID", "<abc123@larkspur.example>"),
            ("List-Unsubscribe", f"<https://larkspur.example/u/{'x' * 120}>"),
        ),
        attachments=(Attachment("invoice-1038.pdf", "application/pdf", b"%PDF-1.4 make-believe"),),
    )


@contextmanager
def serve_once(act: Callable[[socket.socket], None]) -> Iterator[int]:
    """A real server that handles one connection as told; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                act(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


@pytest.fixture
def closed_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
