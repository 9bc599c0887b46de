"""The pages of companies: connecting, changing the mode, pausing, disconnecting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from sqlalchemy import delete, select

from connector.db.engine import reading, writing
from connector.db.money import to_e4
from connector.db.tables import Connection, InvoiceDecisionRow, InvoiceRow, OutboxEntry
from connector.vocabulary import ConnectionMode, OutboxKind, OutboxState
from policies.decisions import DecisionKind
from policies.receivables import InvoiceStatus, Step
from sandbox import Sandbox

Site = Any


def test_companies_are_searched_filtered_and_sorted(site: Site) -> None:
    site.add_company("North Ltd", health="failing")
    site.add_company("Alder Ltd", health="ok")
    site.add_company("Southgate Ltd", health="ok", pause_reason="A holiday")
    owner = site.sign_in("owner")

    def names(query: str) -> list[str]:
        return re.findall(r'<th scope="row"><a href="/companies/\d+">(.*?)</a>', owner.get(f"/companies{query}").text)

    assert names("") == ["Alder Ltd", "North Ltd", "Southgate Ltd"]
    assert names("?q=GATE") == ["Southgate Ltd"]
    assert names("?status=paused") == ["Southgate Ltd"]
    assert names("?sort=status") == ["North Ltd", "Southgate Ltd", "Alder Ltd"]
    assert "1 of 3 companies" in owner.get("/companies?status=failing").text


def get_connection(site: Site, company: int) -> Connection:
    with reading(site.app.engine) as session:
        return session.get_one(Connection, company)


@pytest.fixture
def observing_company(site: Site) -> int:
    """A company in observe mode with emails and a fee planned, and an upcoming step."""
    company = int(site.add_company("North Ltd", mode="observe", first_pull_done_at=site.clock.at))
    at = site.clock.at
    shared = {
        "connection_id": company,
        "state": "planned",
        "customer_id": "c1",
        "currency": "GBP",
        "planned_at": at,
    }
    euros = {**shared, "currency": "EUR"}
    site.add_rows(
        OutboxEntry(
            key="1", kind=OutboxKind.EMAIL, step="past_due", payload={"due": {"a": "99.50", "b": "0.50"}}, **shared
        ),
        OutboxEntry(key="2", kind=OutboxKind.LATE_FEE, step="late_fee", payload={"amount": "5.00"}, **shared),
        OutboxEntry(key="3", kind=OutboxKind.EMAIL, step="past_due", payload={"due": {"c": "7.00"}}, **euros),
        InvoiceRow(
            connection_id=company,
            external_id="i",
            number="I",
            customer_id="c1",
            currency="GBP",
            issued_on=at.date(),
            due_e4=to_e4(Decimal(40)),
            status=InvoiceStatus.OPEN,
            is_open=True,
        ),
        InvoiceDecisionRow(
            connection_id=company,
            invoice_id="i",
            customer_id="c1",
            kind=DecisionKind.HOLD,
            code="later",
            next_step=Step.SECOND_NOTICE,
            next_on=(at + timedelta(days=2)).date(),
            run_id=1,
            since_at=at,
        ),
    )
    return company


def test_a_mode_change_shows_totals_and_requires_a_review(site: Site, observing_company: int) -> None:
    browser = site.sign_in("bookkeeper", observing_company)
    browser.get(f"/companies/{observing_company}")
    assert "Nothing has been sent. The preview below shows what would be sent." in browser.text
    browser.get(f"/companies/{observing_company}/mode?mode=live")
    for words in ("GBP 100.00", "EUR 7.00", "GBP 5.00", "GBP 40.00", "Second notice", "for 1 customer"):
        assert words in browser.text
    planned = browser.page.text.partition("Planned now")[2].partition("</table>")[0]
    actions = re.findall(r'data-label="Action">([^<]+)<', planned)
    assert len(actions) == len(set(actions))  # one row for an action, with its sum in each currency
    browser.submit(f"/companies/{observing_company}/mode", {})
    assert browser.page.status_code == 422
    assert 'id="reviewed-problem">Review what is planned, and confirm that you have.' in browser.page.text
    assert get_connection(site, observing_company).mode == "observe"
    browser.get(f"/companies/{observing_company}/mode?mode=live")
    browser.submit(f"/companies/{observing_company}/mode", {"reviewed": "yes"})
    assert "Mode changed." in browser.text
    assert (get_connection(site, observing_company).mode, get_connection(site, observing_company).live_since_at) == (
        "live",
        site.clock.at,
    )


def test_a_switch_to_approve_mode_says_whether_something_awaits_approval(site: Site, observing_company: int) -> None:
    browser, path = site.sign_in("bookkeeper", observing_company), f"/companies/{observing_company}/mode"

    def switch() -> str:
        with writing(site.app.engine) as session:
            session.get_one(Connection, observing_company).mode = ConnectionMode.OBSERVE
        browser.get(f"{path}?mode=approve")
        browser.submit(path, {"reviewed": "yes"})
        return str(browser.page.text)

    assert "What is planned awaits approval." in switch()
    with writing(site.app.engine) as session:
        session.execute(delete(OutboxEntry))
    page = switch()
    assert "Nothing is due now: what falls due later will await your approval." in page
    assert 'href="/invoices?sort=next_on"' in page
    assert "What is planned awaits" not in page


def test_the_company_page_links_to_the_plan_and_states_whether_anything_was_sent(
    site: Site, observing_company: int
) -> None:
    browser = site.sign_in("bookkeeper", observing_company)
    assert (
        f"/outbox?state=planned&amp;company={observing_company}" in browser.get(f"/companies/{observing_company}").text
    )
    at = site.clock.at
    shared = {
        "connection_id": observing_company,
        "kind": "email",
        "customer_id": "c1",
        "currency": "GBP",
        "planned_at": at,
    }
    site.add_rows(
        OutboxEntry(key="4", step="past_due", payload={}, state=OutboxState.AWAITING_APPROVAL, **shared),
        OutboxEntry(key="5", step="before_due", payload={}, state=OutboxState.DONE, ended_at=at, **shared),
    )
    page = browser.get(f"/companies/{observing_company}").text
    assert "Nothing is sent at present." in page
    assert "Nothing has been sent." not in page
    assert f"/outbox?state=awaiting_approval&amp;company={observing_company}" in page


def test_switching_to_observe_needs_no_review_and_unknown_modes_are_not_found(
    site: Site, observing_company: int
) -> None:
    browser = site.sign_in("bookkeeper")
    browser.get(f"/companies/{observing_company}/mode?mode=observe")
    browser.submit(f"/companies/{observing_company}/mode", {})
    assert browser.page.status_code == 200
    assert browser.get(f"/companies/{observing_company}/mode?mode=turbo").status_code == 404


def test_a_company_is_paused_with_a_reason_resumed_and_synced_now(site: Site, observing_company: int) -> None:
    browser = site.sign_in("bookkeeper")
    browser.get(f"/companies/{observing_company}")
    typed = {"pause_reason": "year end", "paused_until": "2026-06-10"}
    browser.submit(f"/companies/{observing_company}/pause", typed)
    assert 'id="paused_until-problem">10 Jun 2026 is not in the future' in browser.page.text
    assert 'value="year end"' in browser.page.text
    browser.submit(f"/companies/{observing_company}/pause", {**typed, "paused_until": "2026-06-30"})
    assert "year end, until 30 Jun 2026" in browser.text
    browser.submit(f"/companies/{observing_company}/resume", {})
    assert get_connection(site, observing_company).pause_reason == ""
    site.clock.advance(minutes=7)
    browser.submit(f"/companies/{observing_company}/run", {})
    assert get_connection(site, observing_company).next_run_at == site.clock.at


def test_disconnecting_asks_for_a_reason_and_names_what_is_not_sent_any_more(
    site: Site, observing_company: int
) -> None:
    owner, page = site.sign_in("owner"), f"/companies/{observing_company}"
    owner.get(page)
    shown = " ".join(owner.text.split())
    assert "Open balance: GBP 40.00 . It is still owed, and no longer chased." in shown
    assert "2 emails and 1 late fee (GBP 5.00) planned: not sent." in shown
    owner.submit(f"{page}/disconnect", {"confirmed": "yes"})
    assert (owner.page.status_code, 'id="reason-problem"' in owner.page.text) == (422, True)
    assert 'value="yes" required checked' in owner.page.text
    assert get_connection(site, observing_company).health == "ok"


def test_an_expired_authorisation_is_shown_with_the_button_to_reconnect(site: Site) -> None:
    company = site.add_company("North Ltd", health="authorization_expired", health_reason="Xero says no.")
    owner, viewer = site.sign_in("owner"), site.sign_in("viewer")
    owner.get(f"/companies/{company}")
    assert "Reconnect Xero" in owner.text
    viewer.get(f"/companies/{company}")
    assert "An owner has to reconnect it." in viewer.text


def test_connecting_without_app_credentials_names_the_missing_setting(site: Site) -> None:
    owner = site.sign_in("owner")
    owner.get("/companies")
    owner.submit("/companies/connect", {"ledger": "xero"})
    assert owner.page.status_code == 409
    assert "XERO_CLIENT_ID" in owner.text


class TestWithSandbox:
    """Connecting to the simulated services."""

    @pytest.fixture
    def sandbox_and_url(self) -> Iterator[Any]:
        sandbox = Sandbox()
        with sandbox.serve() as url:
            yield sandbox, url

    @pytest.fixture
    def settings(self, sandbox_and_url: Any) -> dict[str, Any]:
        sandbox, url = sandbox_and_url
        return {name.lower(): value for name, value in sandbox.settings(url).items()}

    def consent_callback_url(self, page: str) -> str:
        url = page.partition('rel="noreferrer"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
        reply = requests.get(f"{url}&sandbox_allow=1", allow_redirects=False, timeout=10)
        return urljoin(url, reply.headers["Location"])

    def test_a_consent_can_be_finished_only_in_the_browser_that_started_it(self, site: Site) -> None:
        owner = site.sign_in("owner")
        owner.get("/companies")
        owner.submit("/companies/connect", {"ledger": "xero"})
        back = self.consent_callback_url(owner.page.text).removeprefix(site.base)
        stranger = site.browser()
        assert stranger.get(back).status_code == 400
        assert "started in another browser" in stranger.text
        owner.get(back)
        assert owner.page.status_code == 200
        assert "is connected" in owner.text
        owner.get("/companies")
        with reading(site.app.engine) as session:
            made = session.scalars(select(Connection)).one()
        assert made.name in owner.text
        owner.get(f"/companies/{made.id}")
        assert "First sync in progress" in owner.text
        owner.submit(f"/companies/{made.id}/disconnect", {"reason": "Sold"})
        assert 'value="Sold"' in owner.page.text
        assert "Confirm that you want to disconnect this company" in owner.text
        owner.get(f"/companies/{made.id}")
        owner.submit(f"/companies/{made.id}/disconnect", {"confirmed": "yes", "reason": "Sold"})
        assert "was disconnected" in owner.text
        assert "Reason: Sold." in owner.text
        assert get_connection(site, made.id or 0).health == "disconnected"


@pytest.mark.parametrize(
    ("role", "words"), [("owner", "Reconnect QuickBooks Online</button>"), ("viewer", "An owner of this")]
)
def test_the_reconnect_url_of_an_app_leads_to_a_new_consent(site: Site, role: str, words: str) -> None:
    site.add_company("North Ltd", provider="quickbooks", health="authorization_expired")
    browser = site.sign_in(role)
    page = browser.get("/reconnect/quickbooks").text
    assert "North Ltd" in page
    assert words in page
    assert browser.get("/reconnect/elsewhere").status_code == 404
    visitor = requests.get(f"{site.base}/reconnect/quickbooks", allow_redirects=False, timeout=10)
    assert visitor.headers["Location"].startswith("/sign-in")


def test_companies_are_listed_by_name_whether_it_begins_with_a_capital_or_not(site: Site) -> None:
    for name in ("Zenith Ltd", "birch & Co", "Ashdown Ltd"):
        site.add_company(name)
    owner = site.sign_in("owner")
    owner.get("/companies")
    assert re.findall(r"birch & Co|(?:Ashdown|Zenith) Ltd", owner.text)[:3] == [
        "Ashdown Ltd",
        "birch & Co",
        "Zenith Ltd",
    ]
