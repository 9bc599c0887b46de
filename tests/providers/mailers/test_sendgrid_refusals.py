"""What SendGrid's bounces and drops are about: each row of the README's table, sent through the parser."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from providers.sendgrid import refusals
from providers.sendgrid.webhook import parse_events

NOW = datetime(2026, 6, 10, 11, tzinfo=UTC)
README = Path(refusals.__file__).with_name("README.md")
# SendGrid's own list: OpenAPI document tsg_webhooks_v3, "Reasons for a dropped message include".
VENDORS_DROP_REASONS = {
    "Invalid SMTPAPI header", "Spam Content", "Unsubscribed Address", "Bounced Address", "Spam Reporting Address",
    "Invalid", "Recipient List over Package Quota",
}  # fmt: skip
VENDORS_CLASSIFICATIONS = {  # tsg_logs_v3, BounceClassification
    "Content", "Frequency or Volume Too High", "Invalid Address", "Mailbox Unavailable", "Reputation", "Technical",
    "Unclassified",
    "Technical Failure",  # so in the API for bounces
}  # fmt: skip


class Row(NamedTuple):
    event: str
    type: str
    status: str
    classification: str
    reason: str
    about: str


def table() -> list[Row]:
    lines = README.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| event | type |"))
    return [Row(*(cell.strip() for cell in line.strip().strip("|").split("|"))) for line in lines[start + 2 :] if line]


@pytest.mark.parametrize("row", table(), ids=lambda row: " ".join(filter(None, row[:5])))
def test_each_row_of_the_table_is_what_the_parser_says(row: Row) -> None:
    event = {
        "event": row.event, "type": row.type, "status": row.status, "reason": row.reason, "sg_event_id": "e1",
        "bounce_classification": row.classification, "email": "ap@ashdown.example", "timestamp": 1781000000,
    }  # fmt: skip
    [parsed] = parse_events(json.dumps([{name: value for name, value in event.items() if value}]).encode(), NOW)
    assert parsed.refusal == row.about
    assert parsed.suppresses_address is (row.about == "address")


def test_the_table_has_every_reason_and_classification_of_sendgrids_own_lists() -> None:
    assert {row.reason for row in table() if row.event == "dropped"} >= VENDORS_DROP_REASONS
    assert {row.classification for row in table()} >= VENDORS_CLASSIFICATIONS


@pytest.mark.parametrize("kind", ["processed", "deferred", "delivered", "unsubscribe", "spamreport"])
def test_only_failed_deliveries_are_refusals(kind: str) -> None:
    event = {"event": kind, "sg_event_id": "e1", "timestamp": 1781000000, "reason": "451 4.7.1 greylisted"}
    [parsed] = parse_events(json.dumps([event]).encode(), NOW)
    assert parsed.refusal is None
