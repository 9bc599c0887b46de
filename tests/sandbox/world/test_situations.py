"""The situations that the demo and the fault campaign play: on both ledgers, to their end."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox import Sandbox
from sandbox.desks import open_desk
from sandbox.situations import RARE_SITUATIONS, SITUATIONS, Player

NOON = datetime(2026, 6, 10, 11, 0, tzinfo=UTC)
CLOSED = (
    "Coldharbour Crates", "Pennywhistle Fabrics", "Nettlecombe Nursery", "Slowpost Signs", "Honest Harness",
    "Sunken Salvage", "Quarrel Quarry", "Halting Hardware",
)  # fmt: skip
OPEN = {
    "Bouncing Barrels": 780,  # the payment came back
    "Crumbley Mills": 12000,
    "Withheld Works": 200,
    "Mostly Masonry": 500,
    "Tardy Tanners": 300,
    "Umber Umbrellas Ltd": 240,
    "Laterly Logistics": 860,
    "Backdated Bakery": 410,
    "Upward Upholstery": 50,  # raised after it was paid
    "Growing Gardens": 450,
    "Graceful Granite": 1100,
    "Doubletree Dairy": 410,
    "Second Start": 505,
}


def dues(sandbox: Sandbox, ledger: str, company: str) -> dict[str, float]:
    """Return the balance due by customer."""
    found: dict[str, float] = {}
    if ledger == "xero":
        for invoice in sandbox.xero.invoices(company):
            due = invoice.amount_due if invoice.status == "AUTHORISED" else 0
            found[invoice.contact.name] = found.get(invoice.contact.name, 0) + float(due)
    else:
        for body in sandbox.quickbooks.bookkeeper(company).invoices():
            name = body["CustomerRef"]["name"]
            found[name] = found.get(name, 0) + float(body["Balance"])
    return found


@pytest.mark.parametrize("ledger", ["xero", "quickbooks"])
def test_every_situation_plays_to_its_end(ledger: str) -> None:
    sandbox = Sandbox(now=NOON)
    if ledger == "xero":
        company = sandbox.xero.add_organisation("Small Works Ltd").tenant_id
    else:
        company = sandbox.quickbooks.add_company("Small Works Ltd", country="GB", currency="GBP")
    player = Player(open_desk(sandbox, ledger, company))
    assert len(SITUATIONS) >= 12
    for name in (*SITUATIONS, *RARE_SITUATIONS):
        player.start(name, NOON.date())
    for days in range(1, 17):
        sandbox.clock.advance(timedelta(days=1))
        player.go_on(NOON.date() + timedelta(days=days))
    left = dues(sandbox, ledger, company)
    assert {name: left[name] for name in CLOSED} == dict.fromkeys(CLOSED, 0)
    assert {name: left[name] for name in OPEN} == OPEN
