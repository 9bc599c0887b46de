"""The page of bank details: who may change them, how long a new account waits, and what everybody is told.

Whoever changes the account that customers pay into can have their money, so an attacker with an owner's session is the
reader in mind.
"""

from __future__ import annotations

import io
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from sqlalchemy import select
from sqlmodel import col

from connector.audit import sync_log
from connector.bank_details.store import find_in_use
from connector.db.engine import reading
from connector.db.tables import InvoiceRow, OutboxEntry
from connector.errors import NotPossible
from connector.outbox.payloads import OwnerEmailPayload, payload_as
from connector.services import bank_details
from connector.vocabulary import Role
from connector.vocabulary.outbox import BANK_DETAILS_STEP
from connector.web.bank_details import ROUTES
from policies.receivables import InvoiceStatus

Site = Any
GERMAN, OTHER = "DE89370400440532013000", "DE02120300000000202051"
FORM = {"currency": "EUR", "payee": "North GmbH", "iban": GERMAN, "confirmed": "yes"}


@pytest.fixture
def company(site: Site) -> int:
    return int(site.add_company("North Ltd"))


@pytest.fixture
def owner(site: Site, company: int) -> Any:
    """The browser of an owner who has just signed in, on the page."""
    browser = site.sign_in("owner")
    browser.get(path_of(company))
    return browser


def path_of(company: int) -> str:
    return f"/companies/{company}/bank-details"


def account_in_use(site: Site, company: int, currency: str = "EUR") -> str:
    with reading(site.app.engine) as session:
        found = find_in_use(session, company, currency, site.clock.at)
        return found.account if found else ""


def alerted(site: Site) -> list[tuple[int, str]]:
    """The owners who are emailed, with the entry that each email is about."""
    with reading(site.app.engine) as session:
        query = select(OutboxEntry).where(col(OutboxEntry.step) == BANK_DETAILS_STEP).order_by(col(OutboxEntry.id))
        rows = session.scalars(query)
        payloads = [payload_as(OwnerEmailPayload, row) for row in rows]
        return [(each.bank_details_id, each.to[0]) for each in payloads]


def test_the_first_account_is_used_at_once_and_a_change_waits_for_a_day(site: Site, company: int, owner: Any) -> None:
    page = owner.submit(path_of(company), FORM)
    assert "Every owner is told by email" in page.text
    assert account_in_use(site, company) == GERMAN
    owner.submit(path_of(company), FORM | {"iban": OTHER})
    assert "not in use yet" in owner.page.text
    assert account_in_use(site, company) == GERMAN
    site.clock.advance(hours=23.9)
    assert account_in_use(site, company) == GERMAN
    site.clock.advance(hours=0.2)
    assert account_in_use(site, company) == OTHER


def test_removing_an_account_first_does_not_get_around_the_wait(site: Site, company: int, owner: Any) -> None:
    owner.submit(path_of(company), FORM)
    owner.submit(f"{path_of(company)}/remove")
    assert account_in_use(site, company) == ""
    owner.submit(path_of(company), FORM | {"iban": OTHER})
    assert account_in_use(site, company) == ""
    owner.submit(path_of(company), FORM | {"currency": "CHF", "iban": OTHER})  # nor does another currency
    assert account_in_use(site, company, "CHF") == ""


def test_only_another_owner_confirms_an_account(site: Site, company: int, owner: Any) -> None:
    owner.submit(path_of(company), FORM)
    owner.submit(path_of(company), FORM | {"iban": OTHER})
    assert "Confirm account" not in owner.page.text
    confirm = f"{path_of(company)}/2/confirm"
    second = site.sign_in("owner", email="second@example.com")
    second.get(path_of(company))
    with pytest.raises(NotPossible, match="another owner"):
        bank_details.confirm_bank_details(site.app, company, 2, by="owner@example.com")
    second.submit(confirm)
    assert account_in_use(site, company) == OTHER
    assert "second@example.com confirmed" in log_of(site)


def test_whoever_sees_the_change_in_time_cancels_it(site: Site, company: int, owner: Any) -> None:
    owner.submit(path_of(company), FORM)
    owner.submit(path_of(company), FORM | {"iban": OTHER})
    owner.submit(f"{path_of(company)}/2/cancel")
    site.clock.advance(days=2)
    assert account_in_use(site, company) == GERMAN
    assert "cancelled the account …2051" in log_of(site)


def log_of(site: Site) -> str:
    with reading(site.app.engine) as session:
        return "\n".join(line.text for line in sync_log.list_entries(session))


def test_every_owner_is_emailed_about_every_change_and_nobody_else(site: Site, company: int, owner: Any) -> None:
    site.add_user("owner", email="second@example.com")
    site.add_user("bookkeeper", email="book@example.com")
    owner.submit(path_of(company), FORM)
    owner.submit(path_of(company), FORM | {"iban": OTHER})
    owner.submit(f"{path_of(company)}/2/cancel")
    owner.submit(f"{path_of(company)}/remove")
    owners = ("owner@example.com", "second@example.com")
    # set, changed, the change cancelled, removed
    assert alerted(site) == [(entry, each) for entry in (1, 2, 2, 3) for each in owners]
    assert GERMAN not in log_of(site)  # the log names an account by its last characters


def test_a_change_needs_an_owner_and_their_password_again(site: Site, company: int) -> None:
    changes = [route for route in ROUTES if route.method == "POST"]
    assert all(route.sensitive and route.min_role is Role.OWNER for route in changes)  # see test_reauthentication.py
    assert len(changes) == 4
    bookkeeper = site.sign_in("bookkeeper", company, email="book@example.com")
    assert "Enter an account" not in bookkeeper.get(path_of(company)).text
    assert bookkeeper.post(path_of(company), FORM).status_code == 403
    viewer = site.sign_in("viewer", company, email="view@example.com")
    assert viewer.get(path_of(company)).status_code == 403
    assert account_in_use(site, company) == ""


def test_an_account_that_was_not_compared_is_not_saved(site: Site, company: int, owner: Any) -> None:
    page = owner.submit(path_of(company), FORM | {"confirmed": ""})
    assert page.status_code == 422
    assert 'id="confirmed-problem"' in page.text
    assert GERMAN in page.text  # what was typed stays
    assert account_in_use(site, company) == ""


def test_a_wrong_account_stays_in_its_field_with_what_is_wrong(company: int, owner: Any) -> None:
    page = owner.submit(path_of(company), FORM | {"iban": "DE89370400440532013001"})
    assert page.status_code == 422
    assert "check digits do not match" in page.text
    assert 'value="DE89370400440532013001"' in page.text


def test_a_form_that_was_read_before_another_change_changes_nothing(site: Site, company: int, owner: Any) -> None:
    second = site.sign_in("owner", email="second@example.com")
    second.get(path_of(company))
    owner.submit(path_of(company), FORM)
    page = second.submit(path_of(company), FORM | {"currency": "CHF"})
    assert page.status_code == 422
    assert "changed the bank details meanwhile" in page.text


def test_two_waiting_accounts_are_refused(company: int, owner: Any) -> None:
    owner.submit(path_of(company), FORM)
    owner.submit(path_of(company), FORM | {"iban": OTHER})
    owner.get(path_of(company))
    page = owner.submit(path_of(company), FORM | {"iban": "DE75512108001245126199"})
    assert page.status_code == 409
    assert "…2051 is waiting already" in page.text


def test_an_owner_scans_a_test_code_with_their_own_app(company: int, owner: Any) -> None:
    owner.submit(path_of(company), FORM)
    picture = owner.http.get(f"{owner.base}{path_of(company)}/1.png", timeout=20)
    [code] = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture.content)))
    assert code.text.split("\n")[5:] == ["North GmbH", GERMAN, "EUR1.00", "", "", "TEST"]
    assert owner.get(f"{path_of(company)}/2.png").status_code == 404


def test_currencies_without_an_account_are_named(site: Site, company: int, owner: Any) -> None:
    on = site.clock.at.date()
    shared = {"connection_id": company, "customer_id": "c", "status": InvoiceStatus.OPEN, "issued_on": on}
    site.add_rows(
        InvoiceRow(external_id="a", number="1", currency="USD", is_open=True, **shared),
        InvoiceRow(external_id="b", number="2", currency="JPY", is_open=False, **shared),
    )
    assert "Invoices are open in USD, for which" in owner.get(path_of(company)).text


def test_the_bank_details_of_another_company_do_not_exist(site: Site, company: int) -> None:
    south = site.add_company("South Ltd")
    bookkeeper = site.sign_in("bookkeeper", south, email="south@example.com")
    assert bookkeeper.get(path_of(company)).status_code == 404
