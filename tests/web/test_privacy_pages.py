"""Privacy in the browser, for owners: a customer's data taken out, erased by his name, brought back; days to keep."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import select
from sqlmodel import col

from benchmarks.full_year import NOW
from connector import lease, policies_store, sync_log
from connector.access.passwords import hash_password
from connector.access.users import find_user
from connector.database import reading, writing
from connector.privacy import retention
from connector.tables import CustomerRow, DecisionRow, ErasedCustomer, OutboxEntry

Office = Any
PASSWORD = "correct horse battery staple"  # gitleaks:allow
PAGE = "/companies/1/customers/c1"
NAME = "Customer 00001"
NAMING = '[policies.one]\napplies_to = { customers = ["Customer 00001"] }\ntone = "firm"\n'


@pytest.fixture
def owner(books: Office) -> Any:
    """An owner who has just signed in."""
    return books.signed_in("owner")


def digest() -> OutboxEntry:
    """A mail to the owner of two customers who are late."""
    said: list[dict[str, Any]] = [{"customer": f"c{n}", "name": f"Customer 0000{n}", "taken": []} for n in (1, 2)]
    more: dict[str, Any] = {"key": "digest", "kind": "owner_mail", "state": "done", "customer_id": ""}
    return OutboxEntry(connection_id=1, planned_at=NOW, payload={"to": ["ann@x.example"], "items": said}, **more)


def named_in_digests(office: Office) -> list[str]:
    with reading(office.installation.engine) as session:
        rows = session.scalars(select(OutboxEntry).where(col(OutboxEntry.kind) == "owner_mail"))
        return [item["name"] for row in rows for item in row.payload["items"]]


def lines(office: Office) -> list[str]:
    with reading(office.installation.engine) as session:
        return [line.text for line in sync_log.entries(session)]


def named(office: Office) -> str:
    with reading(office.installation.engine) as session:
        return session.get_one(CustomerRow, (1, "c1")).name


def test_an_owner_takes_everything_held_about_a_customer_with_him(books: Office, owner: Any) -> None:
    books.store(digest())
    owner.get(PAGE)
    answer = owner.send(f"{PAGE}/export")
    kind, _, name = answer.headers["Content-Disposition"].partition("; filename*=UTF-8''")
    assert (kind, unquote(name)) == ("attachment", "Customer 00001 2026-11-23.json")
    assert answer.headers["Cache-Control"] == "no-cache, no-store"
    told = json.loads(answer.content)
    assert (told["customer"][0]["name"], told["exported_by"], len(told["invoice"])) == (NAME, "owner@example.com", 10)
    assert [each["said_of_him"]["name"] for each in told["owner_mail"]] == [NAME]
    assert "Customer 00002" not in answer.text
    assert lines(books)[-1] == "owner@example.com exported everything held about this customer."
    bookkeeper = books.signed_in("bookkeeper")
    assert "/export" not in bookkeeper.get(PAGE).text
    assert "/erase" not in bookkeeper.page.text


def test_a_customer_is_erased_by_his_name_and_taken_back(books: Office, owner: Any) -> None:
    with writing(books.installation.engine) as session:
        policies_store.set_policy(session, NAMING, by="ann", at=NOW)
        find_user(session, "owner@example.com").password_hash = hash_password(PASSWORD)
    books.store(digest())
    page = f"{PAGE}/erase"
    assert f'href="{page}"' in owner.get(PAGE).text
    owner.get(page)
    assert "nothing is sent or charged twice" in owner.text
    owner.send(page, {"name": "Customer 00002"})
    assert (owner.page.status_code, "That is not the name of this customer" in owner.text) == (409, True)
    books.clock.advance(minutes=31)
    owner.send(page, {"name": " customer  00001"})
    assert (owner.page.status_code, "Is it you?" in owner.text, named(books)) == (403, True, NAME)
    owner.send(page, {"confirm_password": PASSWORD})  # what was typed before is kept
    assert owner.page.status_code == 200
    for words in (
        "known as “Erased customer c1”",
        "without texts: 10.",
        "Versions of your policy name him",
        "Backups",
    ):
        assert words in owner.text
    assert named(books) == "Erased customer c1"
    assert named_in_digests(books) == ["Erased customer c1", "Customer 00002"]
    assert NAME not in " ".join(lines(books))
    assert NAME not in owner.get(PAGE).text
    assert "Erased by owner@example.com" in owner.text
    owner.send(f"{PAGE}/erase/undo")
    assert "Taken back: the next run reads again" in owner.text
    assert "Erase this customer" in owner.text
    with reading(books.installation.engine) as session:
        assert session.scalars(select(ErasedCustomer)).all() == []


def test_what_stands_in_the_way_of_erasing_is_said_and_nothing_is_changed(books: Office, owner: Any) -> None:
    def refused(path: str, **fields: str) -> str:
        owner.send(path, fields)
        assert owner.page.status_code == 409
        return str(owner.text)

    page, before = f"{PAGE}/erase", lines(books)
    owner.get(page)
    with lease.hold(books.installation, 1):
        assert "A run of this company is under way: try again when it has ended." in refused(page, name=NAME)
    mail: dict[str, Any] = {"key": "m", "kind": "mail", "state": "doubt", "customer_id": "c1", "payload": {}}
    books.store(OutboxEntry(connection_id=1, planned_at=NOW, **mail))
    assert "settle what the outbox shows in doubt" in refused(page, name=NAME)
    assert (named(books), lines(books)) == (NAME, before)
    books.store(ErasedCustomer(connection_id=1, customer_id="c1", erased_at=NOW, erased_by="ann"))
    owner.get(PAGE)
    with lease.hold(books.installation, 1):
        assert "A run of this company is under way" in refused(f"{PAGE}/erase/undo")


def test_an_owner_sees_and_changes_how_long_things_are_kept(books: Office, owner: Any) -> None:
    page = "/settings/privacy"
    old = DecisionRow(connection_id=1, customer_id="c1", run_id=1, decided_at=NOW - timedelta(days=300), recorded=b"")
    books.store(old)
    owner.get(page)
    assert "once a day, while duewell runs; it has not yet" in " ".join(owner.text.split())
    retention.work(books.installation)
    assert "last 23 Nov 2026" in " ".join((owner.get(page) and owner.text).split())
    for fields, words in (
        ({"decisions": "0"}, "decisions: from 1 to 36500 days, or off"),
        ({"raw": "36501"}, "raw: from 1 to 36500 days, or off"),
        ({"mails": "a year"}, "mails: from 1 to 36500 days, or off"),
        ({"tasks": "1095"}, "Nothing was changed."),
    ):
        owner.get(page)
        owner.send(page, fields)
        assert (owner.page.status_code, words in owner.text) == (409, True), words
    owner.get(page)
    owner.send(page, {"decisions": "200", "raw": "90", "mails": ""})
    assert "what is older goes with the next daily pruning" in owner.text
    assert lines(books)[-1] == "owner@example.com set how many days are kept: decisions 200, mails for good."
    with reading(books.installation.engine) as session:
        assert retention.days(session) == {
            "raw": 90, "decisions": 200, "mails": 0, "tasks": 1095, "sign-ins": 90, "log": 0,
        }  # fmt: skip
        assert session.scalars(select(DecisionRow)).all() != []
    books.clock.advance(hours=21)
    retention.work(books.installation)
    with reading(books.installation.engine) as session:
        assert session.scalars(select(DecisionRow)).all() == []
