"""The privacy pages for owners: export, erasure, its undoing, and retention periods."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import select
from sqlmodel import col

from benchmarks.full_year import NOW
from connector import policy_store
from connector.audit import sync_log
from connector.auth.passwords import hash_password
from connector.auth.users import find_user
from connector.db.engine import reading, writing
from connector.db.tables import CustomerRow, DecisionRecord, ErasedCustomer, OutboxEntry
from connector.privacy import retention
from connector.runtime import lease
from connector.vocabulary import OutboxKind

Site = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow
CUSTOMER_PATH = "/companies/1/customers/c1"
NAME = "Customer 00001"
POLICY_WITH_NAME = '[policies.one]\napplies_to = { customers = ["Customer 00001"] }\ntone = "firm"\n'


@pytest.fixture
def owner(site_with_invoices: Site) -> Any:
    """The browser of an owner who has just signed in."""
    return site_with_invoices.sign_in("owner")


def build_digest() -> OutboxEntry:
    """An alert to the account owner about two customers."""
    said: list[dict[str, Any]] = [{"customer": f"c{n}", "name": f"Customer 0000{n}", "completed": []} for n in (1, 2)]
    more: dict[str, Any] = {"key": "digest", "kind": "owner_email", "state": "done", "customer_id": ""}
    return OutboxEntry(connection_id=1, planned_at=NOW, payload={"to": ["ann@x.example"], "items": said}, **more)


def names_in_digests(site: Site) -> list[str]:
    with reading(site.app.engine) as session:
        rows = session.scalars(select(OutboxEntry).where(col(OutboxEntry.kind) == OutboxKind.OWNER_EMAIL))
        return [item["name"] for row in rows for item in row.payload["items"]]


def log_texts(site: Site) -> list[str]:
    with reading(site.app.engine) as session:
        return [line.text for line in sync_log.list_entries(session)]


def customer_name(site: Site) -> str:
    with reading(site.app.engine) as session:
        return session.get_one(CustomerRow, (1, "c1")).name


def test_an_owner_exports_a_customers_data(site_with_invoices: Site, owner: Any) -> None:
    site_with_invoices.add_rows(build_digest())
    owner.get(CUSTOMER_PATH)
    answer = owner.submit(f"{CUSTOMER_PATH}/export")
    kind, _, name = answer.headers["Content-Disposition"].partition("; filename*=UTF-8''")
    assert (kind, unquote(name)) == ("attachment", "Customer 00001 2026-11-23.json")
    assert answer.headers["Cache-Control"] == "no-cache, no-store"
    told = json.loads(answer.content)
    assert (told["customer"][0]["name"], told["exported_by"], len(told["invoice"])) == (NAME, "owner@example.com", 10)
    assert [each["content"]["name"] for each in told["owner_email"]] == [NAME]
    assert "Customer 00002" not in answer.text
    assert log_texts(site_with_invoices)[-1] == "owner@example.com exported everything stored about this customer."
    bookkeeper = site_with_invoices.sign_in("bookkeeper")
    assert "/export" not in bookkeeper.get(CUSTOMER_PATH).text
    assert "/erase" not in bookkeeper.page.text


def test_a_customer_is_erased_after_typing_their_name_and_restored(site_with_invoices: Site, owner: Any) -> None:
    with writing(site_with_invoices.app.engine) as session:
        policy_store.set_policy(session, POLICY_WITH_NAME, by="ann", at=NOW)
        find_user(session, "owner@example.com").password_hash = hash_password(PASSWORD)
    site_with_invoices.add_rows(build_digest())
    page = f"{CUSTOMER_PATH}/erase"
    assert f'href="{page}"' in owner.get(CUSTOMER_PATH).text
    owner.get(page)
    assert "nothing is sent or charged twice" in owner.text
    assert "Open balance: EUR 333.00 ." in " ".join(owner.text.split())
    assert "1 email not sent yet: deleted." in " ".join(owner.text.split())
    assert "1 open task: cancelled." in " ".join(owner.text.split())
    for fields, field, words in (
        ({"name": NAME}, "reason", "Enter why it is erased."),
        ({"name": NAME, "reason": f"{NAME} asked"}, "reason", "it must not name the customer"),
        ({"name": "Customer 00002", "reason": "By letter"}, "name", "That is not the name of this customer"),
    ):
        owner.submit(page, fields)
        assert owner.page.status_code == 422
        assert words in owner.page.text.partition(f'id="{field}-problem">')[2].partition("</p>")[0]
        assert all(f'value="{value}"' in owner.page.text for value in fields.values())  # what was typed stays
    site_with_invoices.clock.advance(minutes=31)
    owner.submit(page, {"name": " customer  00001", "reason": "By letter"})
    assert (owner.page.status_code, "Confirm your identity" in owner.text, customer_name(site_with_invoices)) == (
        403,
        True,
        NAME,
    )
    owner.submit(page, {"confirm_password": PASSWORD})  # what was typed before is kept
    assert owner.page.status_code == 200
    for words in (
        "now shown as “Erased customer c1”",
        "without their texts: 10.",
        "Your policy names the customer",
        "backups",
    ):
        assert words in owner.text
    assert customer_name(site_with_invoices) == "Erased customer c1"
    assert (
        log_texts(site_with_invoices)[-1]
        == "owner@example.com erased the personal data of customer c1. Reason: By letter."
    )
    assert names_in_digests(site_with_invoices) == ["Erased customer c1", "Customer 00002"]
    assert NAME not in " ".join(log_texts(site_with_invoices))
    assert NAME not in owner.get(CUSTOMER_PATH).text
    assert "Erased by owner@example.com" in owner.text
    owner.submit(f"{CUSTOMER_PATH}/erase/undo")
    assert "Erasure undone. The next sync reads" in owner.text
    assert "Erase data…" in owner.text
    with reading(site_with_invoices.app.engine) as session:
        assert session.scalars(select(ErasedCustomer)).all() == []


def test_what_prevents_erasure_is_reported_and_nothing_is_changed(site_with_invoices: Site, owner: Any) -> None:
    def refused(path: str, **fields: str) -> str:
        owner.submit(path, fields)
        assert owner.page.status_code == 409
        return str(owner.text)

    page, before = f"{CUSTOMER_PATH}/erase", log_texts(site_with_invoices)
    owner.get(page)
    with lease.acquire(site_with_invoices.app, 1):
        assert "This company is being synced. Try again when the sync has ended." in refused(
            page, name=NAME, reason="asked"
        )
    mail: dict[str, Any] = {"key": "m", "kind": "email", "state": "unconfirmed", "customer_id": "c1", "payload": {}}
    site_with_invoices.add_rows(OutboxEntry(connection_id=1, planned_at=NOW, **mail))
    assert "resolve what the outbox shows as unconfirmed" in refused(page, name=NAME, reason="asked")
    assert (customer_name(site_with_invoices), log_texts(site_with_invoices)) == (NAME, before)
    site_with_invoices.add_rows(ErasedCustomer(connection_id=1, customer_id="c1", erased_at=NOW, erased_by="ann"))
    owner.get(CUSTOMER_PATH)
    with lease.acquire(site_with_invoices.app, 1):
        assert "This company is being synced" in refused(f"{CUSTOMER_PATH}/erase/undo")


def test_an_owner_changes_the_retention_periods(site_with_invoices: Site, owner: Any) -> None:
    page = "/settings/privacy"
    old = DecisionRecord(
        connection_id=1, customer_id="c1", run_id=1, decided_at=NOW - timedelta(days=300), snapshot=b""
    )
    site_with_invoices.add_rows(old)
    owner.get(page)
    assert "once a day while duewell is running. Nothing has been deleted yet" in " ".join(owner.text.split())
    retention.prune_daily(site_with_invoices.app)
    assert "Last deletion: 23 Nov 2026" in " ".join((owner.get(page) and owner.text).split())
    for fields, words in (
        ({"decisions": "0"}, 'id="decisions-problem">Enter 1 to 36500 days, or nothing'),
        ({"raw": "36501", "emails": "30"}, 'name="emails" min="1" max="36500" value="30"'),
        ({"emails": "a year"}, 'value="a year" aria-invalid="true"'),
    ):
        owner.get(page)
        owner.submit(page, fields)
        assert (owner.page.status_code, words in owner.page.text) == (422, True), words
    owner.submit(page, {"tasks": "1095"})
    assert "Nothing was changed." in owner.text
    owner.get(page)
    owner.submit(page, {"decisions": "200", "raw": "90", "emails": ""})
    assert "Retention periods saved" in owner.text
    assert (
        log_texts(site_with_invoices)[-1]
        == "owner@example.com set retention periods: facts of decisions 200 days, emails forever."
    )
    with reading(site_with_invoices.app.engine) as session:
        assert retention.retention_days(session) == {
            "raw": 90, "decisions": 200, "emails": 0, "tasks": 1095, "bank-lines": 30, "portal": 400, "sign-ins": 90,
            "log": 0,
        }  # fmt: skip
        assert session.scalars(select(DecisionRecord)).all() != []
    site_with_invoices.clock.advance(hours=21)
    retention.prune_daily(site_with_invoices.app)
    with reading(site_with_invoices.app.engine) as session:
        assert session.scalars(select(DecisionRecord)).all() == []
