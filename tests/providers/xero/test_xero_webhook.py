"""Xero's webhook: receivables are read, payables and unknown categories are not, and one odd event stops no other."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from typing import Any

import pytest

from providers.xero import webhook


def event(category: str, kind: str = "", **changes: Any) -> dict[str, Any]:
    data = {"data": {"Type": kind, "Status": "AUTHORISED"}} if kind else {}
    return {
        "tenantId": "t", "resourceId": f"{category}-{kind}", "eventCategory": category, "eventType": "UPDATE",
        "eventDateUtc": "2026-11-20T01:15:39.902", **data, **changes,
    }  # fmt: skip


def parse(*events: Any) -> list[str]:
    body = json.dumps({"events": events}).encode()
    signature = base64.b64encode(hmac.new(b"key", body, hashlib.sha256).digest()).decode()
    return [each.external_id for each in webhook.parse_notifications("key", {"x-xero-signature": signature}, body)]


@pytest.mark.parametrize(
    ("category", "kind", "is_read"),
    [
        ("INVOICE", "", True),
        ("CONTACT", "", True),
        ("CREDITNOTE", "", True),  # as before December 2025
        ("CREDITNOTE", "ACCRECCREDIT", True),
        ("CREDITNOTE", "ACCPAYCREDIT", False),
        ("PREPAYMENT", "RECEIVE-PREPAYMENT", True),
        ("PREPAYMENT", "SPEND-PREPAYMENT", False),
        ("PAYMENT", "ACCRECPAYMENT", True),
        ("PAYMENT", "ACCPAYPAYMENT", False),
        ("PAYMENT", "APCREDITPAYMENT", False),
        ("SUBSCRIPTION", "", False),
    ],
)
def test_only_receivables_are_read(category: str, kind: str, *, is_read: bool) -> None:
    assert bool(parse(event(category, kind))) == is_read


def test_an_unknown_category_is_ignored_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="duewell.xero"):
        for _ in range(3):
            assert parse(event("BANKRULE\n<b>"), event("INVOICE"), event("SUBSCRIPTION")) == ["INVOICE-"]
    (line,) = caplog.messages
    assert "category BANKRULE????," in line


@pytest.mark.parametrize(
    "odd", [None, 7, "x", {"tenantId": 7}, {"resourceId": None}, {"data": "x"}, {"data": {"Type": 7}}]
)
def test_one_odd_event_stops_no_other(odd: Any) -> None:
    assert "INVOICE-" in parse(odd, event("INVOICE"))
