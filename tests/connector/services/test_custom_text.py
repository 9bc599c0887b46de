"""Edited emails: the text that was approved is the text that the customer gets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.connections.registry import set_mode
from connector.db.engine import reading, writing
from connector.db.tables import OutboxEntry, SyncLogEntry
from connector.emails.outbound import email_templates
from connector.outbox import approvals
from connector.services.email_editing import edit_email
from connector.vocabulary import LogKind, OutboxKind
from policies.receivables import Step

LINES = {"subject": "About {{ secret }} & co", "opening": "Dear Ms Ashdown,\n\nwe <b>spoke</b> {% if %} today."}


@pytest.fixture
def awaiting_approval(scenario_at: Any, noon: Any) -> Iterator[Any]:
    """A company where one email awaits approval."""
    with scenario_at(noon, "xero") as scenario:
        prepare(scenario)
        yield scenario


def prepare(scenario: Any) -> None:
    scenario.company.customer("Ashdown Ltd")
    scenario.number = scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=scenario.today - timedelta(days=6))
    scenario.go_live()
    set_mode(scenario.app, scenario.connection, "approve")
    scenario.run()


def only_email(scenario: Any) -> OutboxEntry:
    with reading(scenario.app.engine) as session:
        return session.scalars(select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.EMAIL)).one()


def approve(scenario: Any) -> None:
    with writing(scenario.app.engine) as session:
        approvals.approve(session, [only_email(scenario).id or 0], by="Ben", at=scenario.app.now())


def edit_lines(scenario: Any) -> list[str]:
    with reading(scenario.app.engine) as session:
        return list(
            session.scalars(select(col(SyncLogEntry.text)).where(col(SyncLogEntry.kind) == LogKind.EMAIL_EDITED))
        )


def test_the_approved_text_is_the_text_that_is_sent(awaiting_approval: Any) -> None:
    before = approvals.entry_etag(only_email(awaiting_approval))
    edit_email(awaiting_approval.app, only_email(awaiting_approval).id or 0, LINES, by="Ann", etag=before)
    with pytest.raises(
        approvals.OutboxError, match=r"was changed by Ann on 10 Jun 2026 at 12:00; read it again"
    ):  # Ben read the previous version
        edit_email(
            awaiting_approval.app, only_email(awaiting_approval).id or 0, {"subject": "Other"}, by="Ben", etag=before
        )
    awaiting_approval.run()
    assert awaiting_approval.customer_emails() == []
    approve(awaiting_approval)
    awaiting_approval.run()
    [mail] = [
        mail
        for mail in awaiting_approval.sandbox.sendgrid.emails()
        if mail.to != (awaiting_approval.app.settings.mail_from,)
    ]
    assert mail.subject == "About {{ secret }} & co"
    assert "Dear Ms Ashdown,\n\nwe <b>spoke</b> {% if %} today." in mail.text
    assert "we &lt;b&gt;spoke&lt;&#x2f;b&gt;" in mail.html
    assert "1,200.00" in mail.text
    [told] = edit_lines(awaiting_approval)
    assert told.startswith("Ann changed the subject and the opening of this email")


def test_custom_text_is_dropped_when_the_facts_change(awaiting_approval: Any) -> None:
    edit_email(awaiting_approval.app, only_email(awaiting_approval).id or 0, LINES, by="Ann")
    approve(awaiting_approval)
    awaiting_approval.company.pay(awaiting_approval.number, "200.00")
    awaiting_approval.run()
    entry = only_email(awaiting_approval)
    assert (entry.state, entry.custom_text, awaiting_approval.customer_emails()) == ("awaiting_approval", None, [])
    assert "custom text was discarded" in edit_lines(awaiting_approval)[-1]


def test_an_edited_email_awaits_approval_in_a_live_company_until_it_is_reset(
    awaiting_approval: Any,
) -> None:
    entry = only_email(awaiting_approval).id or 0
    edit_email(awaiting_approval.app, entry, LINES, by="Ann")
    set_mode(awaiting_approval.app, awaiting_approval.connection, "live")
    awaiting_approval.run()
    assert (awaiting_approval.customer_emails(), only_email(awaiting_approval).state) == ([], "awaiting_approval")
    with pytest.raises(approvals.OutboxError, match="Nothing was changed"):
        edit_email(awaiting_approval.app, entry, LINES, by="Ann")
    with pytest.raises(approvals.OutboxError, match="must not be empty"):
        edit_email(awaiting_approval.app, entry, {"subject": " \x00 "}, by="Ann")
    edit_email(awaiting_approval.app, entry, {}, by="Ann")
    awaiting_approval.run()
    assert [mail[1] for mail in awaiting_approval.customer_emails()] != [LINES["subject"]]
    assert len(awaiting_approval.customer_emails()) == 1


def _reword_by_template(scenario: Any) -> None:
    with writing(scenario.app.engine) as session:
        email_templates.save_template(
            session, 'subject = "Pay now"\n', step=Step.PAST_DUE, language="", connection_id=None, by="Ann",
            at=scenario.app.now(),
        )  # fmt: skip


def _reword_by_policy(scenario: Any) -> None:
    scenario.set_policy('[payment_instructions]\ndefault = "To another account."\n')


@pytest.mark.parametrize(("reword", "by"), [(_reword_by_template, "Ann"), (_reword_by_policy, "a sync")])
def test_an_approved_email_that_is_worded_otherwise_awaits_approval_again(
    awaiting_approval: Any, reword: Any, by: str
) -> None:
    read = approvals.entry_etag(only_email(awaiting_approval))
    approve(awaiting_approval)
    reword(awaiting_approval)
    awaiting_approval.run()
    entry = only_email(awaiting_approval)
    assert (awaiting_approval.customer_emails(), entry.state) == ([], "awaiting_approval")
    key = entry.id or 0
    with writing(awaiting_approval.app.engine) as session, pytest.raises(approvals.EntryChanged, match=f"by {by} on"):
        approvals.approve(session, [key], by="Ben", at=awaiting_approval.app.now(), seen={key: read})
    approve(awaiting_approval)
    awaiting_approval.run()
    assert len(awaiting_approval.customer_emails()) == 1
