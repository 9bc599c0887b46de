"""What was sent can be read: an email is kept as it was sent, encrypted, with what became of it."""

from __future__ import annotations

import base64
import io
import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select
from sqlmodel import col
from typer.testing import CliRunner

from connector.branding.brand import BrandChange
from connector.cli.main import cli
from connector.db.engine import reading, sqlite_file, writing
from connector.db.tables import OutboxEntry, SentEmail
from connector.emails.inbound.events import receive_events
from connector.emails.outbound import sent_emails
from connector.outbox.approvals import resolve
from connector.services import branding, entry_email
from connector.services.email_preview import PreviewError
from connector.services.explain import explain_invoice
from connector.services.invoices import find_invoice
from connector.services.key_rotation import rotate
from providers.http import TransportLimits
from providers.sendgrid.webhook import parse_events
from sandbox.faults import Rule

LINK = "https://dunning.example/c/"


@pytest.fixture
def scenario(scenario_at: Any, noon: Any) -> Any:
    """A live company on the simulated Xero, with one customer whose invoice is six days overdue."""
    with scenario_at(noon, "xero") as made:
        settings = made.app.settings.model_copy(update={"duewell_base_url": "https://dunning.example"})
        made.app = replace(made.app, settings=settings)
        made.company.customer("Ashdown Ltd")
        made.number = made.company.invoice("Ashdown Ltd", "1200.00", due_on=noon.date() - timedelta(days=6))
        made.go_live()
        yield made


def get_email(scenario: Any, *states: str) -> Any:
    return next(entry for entry in scenario.outbox(*states) if entry.kind == "email")


def kept_attempts(scenario: Any, entry: OutboxEntry) -> list[int]:
    with reading(scenario.app.engine) as session:
        return list(session.scalars(select(col(SentEmail.attempt)).where(col(SentEmail.outbox_id) == entry.id)))


def send_event(scenario: Any, key: str, kind: str, minutes: int, **more: Any) -> None:
    at = (scenario.app.now() + timedelta(minutes=minutes)).timestamp()
    event = {
        "event": kind, "email": "accounts@ashdown.example", "timestamp": at, "sg_event_id": f"{kind}-{minutes}",
        "duewell_key": key, **more,
    }  # fmt: skip
    receive_events(scenario.app, parse_events(json.dumps([event]).encode(), scenario.app.now()))


def test_an_email_is_kept_as_it_was_sent_and_shown_with_its_events(
    scenario: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.run()
    entry = get_email(scenario, "done")
    [sent] = [each for each in scenario.sandbox.sendgrid.emails() if "accounts@ashdown.example" in each.to]
    send_event(scenario, entry.key, "delivered", 1)
    send_event(scenario, entry.key, "open", 2, sg_machine_open=True)
    send_event(scenario, entry.key, "open", 3)
    scenario.company.pay(scenario.number)
    scenario.run()  # what the ledger says by now changes nothing about what was sent
    email = entry_email.load_email(scenario.app, entry)
    assert (email.subject, email.text, email.html) == (sent.subject, sent.text, sent.html)
    assert (email.to, email.cc, email.sender) == (list(sent.to), list(sent.cc), sent.sender)
    assert [each.filename for each in email.attachments] == [each.filename for each in sent.attachments]
    assert all(each.size_bytes > 100 for each in email.attachments)
    assert email.attachments
    assert [event.kind for event in email.events] == ["delivered", "open"]
    with reading(scenario.app.engine) as session:
        story = explain_invoice(scenario.app, session, find_invoice(session, scenario.number)).timeline
    assert str(entry.id) in [each.target.id for each in story if each.target and each.kind == "email"]

    monkeypatch.setattr("connector.cli.outbox.open_command_app", lambda: nullcontext(scenario.app))
    shown = json.loads(CliRunner().invoke(cli, ["outbox", "show", str(entry.id), "--json"]).stdout)
    assert (shown["id"], shown["email"]["html"]) == (entry.id, sent.html)
    text = CliRunner().invoke(cli, ["outbox", "show", str(entry.id)]).stdout
    assert sent.subject in text
    assert "Delivered:" in text
    assert CliRunner().invoke(cli, ["outbox", "show", "99999"]).exit_code == 1

    # A copy of the database shows neither the email nor the customer's links, and a change of keys loses neither
    file = sqlite_file(scenario.app.engine)
    assert file is not None
    held = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    assert LINK in sent.text
    assert LINK.encode() not in held
    assert rotate(scenario.app).undecryptable == []
    assert entry_email.load_email(scenario.app, entry).html == sent.html


def test_every_attempt_that_may_have_arrived_is_kept_and_no_other(
    scenario: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = partial(TransportLimits, now=scenario.app.now)  # a limit ends by the simulated clock
    monkeypatch.setattr("providers.sendgrid.mailer.TransportLimits", limits)
    scenario.sandbox.faults.add(Rule("refuse", service="sendgrid", kind="email", status=429))
    scenario.run()
    entry = get_email(scenario, "planned")
    assert (entry.attempts, kept_attempts(scenario, entry)) == (1, [])  # certainly not sent
    scenario.sandbox.faults.add(Rule("drop_after", service="sendgrid", kind="email"))
    scenario.sandbox.clock.advance(timedelta(hours=2))
    scenario.run()
    entry = get_email(scenario, "unconfirmed")
    assert kept_attempts(scenario, entry) == [2]
    assert entry_email.load_email(scenario.app, entry).sent_at == scenario.app.now()
    with writing(scenario.app.engine) as session:
        resolve(session, entry.id, sent=False, by="ann", at=scenario.app.now())
    entry = get_email(scenario, "planned")
    planned = entry_email.load_email(scenario.app, entry)
    assert (planned.sent_at, planned.attempts) == (None, [2])
    assert entry_email.load_email(scenario.app, entry, attempt=2).sent_at is not None
    with pytest.raises(PreviewError):
        entry_email.load_email(scenario.app, entry, attempt=7)
    scenario.company.pay(scenario.number)
    scenario.run()  # the entry is cancelled, and what was kept of it goes with it
    assert kept_attempts(scenario, entry) == []


def test_a_large_logo_is_sent_in_each_email_kept_once_and_shown_with_all(scenario: Any) -> None:
    file = io.BytesIO()
    Image.effect_noise((480, 160), 90).convert("RGB").save(file, "PNG")
    branding.set_brand(scenario.app, scenario.connection, BrandChange({}, logo=file.getvalue()), by="a test")
    scenario.run()
    entry = get_email(scenario, "done")
    [sent] = [each for each in scenario.sandbox.sendgrid.emails() if "accounts@ashdown.example" in each.to]
    [logo] = [each for each in sent.attachments if each.inline]
    assert len(logo.content) > sent_emails.IMAGE_KEPT_BYTES_MAX
    assert f"cid:{logo.content_id}" in sent.html
    with reading(scenario.app.engine) as session:
        [kept] = session.scalars(select(SentEmail))
        assert len(kept.content) < sent_emails.IMAGE_KEPT_BYTES_MAX
    shown = entry_email.load_email(scenario.app, entry).html
    assert f'src="data:image/png;base64,{base64.b64encode(logo.content).decode()}"' in shown
