"""The pages under /sandbox, through which scripts in other processes see and control everything."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from sandbox import Sandbox


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seed=1, now=datetime(2026, 11, 18, 9, 30, tzinfo=UTC))


@pytest.fixture
def url(sandbox: Sandbox) -> Iterator[str]:
    with sandbox.serve() as url:
        yield url


def post(url: str, body: Any) -> requests.Response:
    return requests.post(url, json=body, timeout=10)


def test_start_page_links_everything_and_explains_how_to_sign_in(url: str) -> None:
    page = requests.get(f"{url}/sandbox", timeout=10)
    assert '<html lang="en">' in page.text
    for link in ("/sandbox/emails", "/sandbox/state", "/sandbox/requests"):
        assert f'href="{link}"' in page.text
        assert requests.get(url + link, timeout=10).status_code == 200
    assert "Harbour &amp; Finch" in page.text
    assert "Signing in needs no password" in page.text


def test_script_moves_the_clock(sandbox: Sandbox, url: str) -> None:
    before = requests.get(f"{url}/sandbox/state", timeout=10).json()["xero"]["Harbour & Finch Studio Ltd"]["invoices"]
    assert post(f"{url}/sandbox/clock", {"advance_seconds": 86_400 * 30}).json() == {"now": "2026-12-18T09:30:00+00:00"}
    after = requests.get(f"{url}/sandbox/state", timeout=10).json()["xero"]["Harbour & Finch Studio Ltd"]["invoices"]
    assert after > before
    post(f"{url}/sandbox/clock", {"set": "2026-12-20T00:00:00Z"})
    assert sandbox.clock.now() == datetime(2026, 12, 20, tzinfo=UTC)
    assert post(f"{url}/sandbox/clock", {"set": "tomorrow"}).status_code == 400
    assert post(f"{url}/sandbox/clock", [1]).status_code == 400


def test_script_pays_and_voids_invoices(sandbox: Sandbox, url: str) -> None:
    one, two = [i for i in sandbox.xero.invoices() if i.status == "AUTHORISED" and not i.amount_paid][:2]
    assert post(f"{url}/sandbox/xero/invoices/{one.number}/pay", {"amount": "1.50"}).status_code == 200
    assert one.amount_paid + one.amount_credited == one.total - one.amount_due
    assert str(one.amount_paid) == "1.50"
    assert requests.post(f"{url}/sandbox/xero/invoices/{one.id}/pay", timeout=10).status_code == 200
    assert one.status == "PAID"
    again = post(f"{url}/sandbox/xero/invoices/{one.id}/pay", {})
    assert (again.status_code, again.json()) == (
        400,
        {"error": "Payments can only be made against Authorised documents"},
    )
    if not two.amount_credited:
        assert post(f"{url}/sandbox/xero/void", {"invoice": two.id}).json() == {"id": two.id}
        assert two.status == "VOIDED"


def test_script_records_a_dispute_as_a_note(sandbox: Sandbox, url: str) -> None:
    number = sandbox.xero.invoices()[0].number
    assert post(f"{url}/sandbox/xero/invoices/{number}/dispute", {"reason": "never ordered"}).status_code == 200
    assert post(f"{url}/sandbox/xero/invoices/{number}/notes", {}).json()["result"][-1] == "Disputed: never ordered"


def test_script_gets_an_error_for_unknown_objects(url: str) -> None:
    missing = post(f"{url}/sandbox/xero/invoices/none/pay", {})
    assert (missing.status_code, missing.json()) == (404, {"error": "there is no invoice 'none'"})
    assert "there are add_bulk_invoices" in post(f"{url}/sandbox/xero/dance", {}).json()["error"]
    assert post(f"{url}/sandbox/sage/pay", {}).status_code == 404
    assert post(f"{url}/sandbox/xero/pay", {"colour": "red"}).status_code == 400


def test_script_sets_lists_and_clears_faults(sandbox: Sandbox, url: str) -> None:
    rule = {"action": "refuse", "status": 418, "path": "^/connections"}
    assert post(f"{url}/sandbox/faults", rule).json()["fired"] == 0
    assert requests.get(f"{url}/connections", timeout=10).status_code == 418
    assert requests.get(f"{url}/sandbox/faults", timeout=10).json()[0]["fired"] == 1
    assert requests.delete(f"{url}/sandbox/faults", timeout=10).status_code == 204
    assert sandbox.faults.rules == []
    assert post(f"{url}/sandbox/faults", {"action": "explode"}).status_code == 400


def test_script_reads_the_request_log(url: str) -> None:
    requests.get(f"{url}/connections", timeout=10)
    requests.post(f"{url}/v3/mail/send", timeout=10)
    log = requests.get(f"{url}/sandbox/requests", params={"service": "xero"}, timeout=10).json()
    assert [(r["kind"], r["status"], r["at"]) for r in log] == [("token", 401, "2026-11-18T09:30:00+00:00")]
    assert len(requests.get(f"{url}/sandbox/requests", params={"after": 1}, timeout=10).json()) == 1
    requests.delete(f"{url}/sandbox/requests", timeout=10)
    assert requests.get(f"{url}/sandbox/requests", timeout=10).json() == []


def test_settings_name_every_service(sandbox: Sandbox, url: str) -> None:
    settings = sandbox.settings(url)
    for name in ("XERO_CLIENT_ID", "XERO_API_URL", "QUICKBOOKS_CLIENT_ID", "QUICKBOOKS_API_URL", "SENDGRID_API_KEY"):
        assert settings[name], name


def test_company_with_fifty_thousand_invoices_can_be_created(sandbox: Sandbox, url: str) -> None:
    before = len(sandbox.xero.organisation().invoices)
    assert post(f"{url}/sandbox/xero/add_bulk_invoices", {"count": 2000}).json() == {"result": before + 2000}
