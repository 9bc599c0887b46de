"""Situations of real ledgers, as in the demo: what customers are sent in sixteen days, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from connector.connections.registry import set_mode
from connector.db.engine import reading
from connector.db.tables import CustomerRow, Task
from connector.vocabulary import ConnectionMode, OutboxKind, RunOutcome, TaskCode
from sandbox import Sandbox
from sandbox.desks import open_desk
from sandbox.sendgrid.message_store import Email
from sandbox.situations import SITUATIONS, Player
from tests.connector.scenario import LEDGERS, NOON, Scenario, make_scenario

DAYS = 16
WEEKEND = (5, 6)
POLICY = """
[late_fees]
enabled = true
approval = "automatic"
terms_agreed_on = 2024-01-01
"""


@dataclass(frozen=True, slots=True)
class Played:
    """What was sent, and what was left to people."""

    scenario: Scenario
    emails: list[Email]
    tasks: list[tuple[str, TaskCode, str]]  # customer, code, reason
    fees: list[str]  # customers who were charged

    def to(self, address: str) -> list[Email]:
        return [email for email in self.emails if any(address in each for each in email.to)]

    def subjects(self, address: str) -> list[str]:
        return [email.subject for email in self.to(address)]

    def task_codes(self, customer: str) -> set[TaskCode]:
        return {code for name, code, _ in self.tasks if name == customer}


@pytest.fixture(scope="module", params=LEDGERS)
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_home: Callable[[Path], Path]
) -> Iterator[Played]:
    sandbox = Sandbox(now=NOON)
    sandbox.xero.limits.minute = 0
    with sandbox.serve() as url:
        scenario = make_scenario(sandbox, url, new_home(tmp_path_factory.mktemp("home")), request.param)
        player = Player(open_desk(scenario.sandbox, request.param, scenario.company.external_id))
        for name in SITUATIONS:
            player.start(name, scenario.today)
        scenario.connect()
        scenario.set_policy(POLICY)
        set_mode(scenario.app, scenario.connection, ConnectionMode.LIVE)
        for _ in range(DAYS):
            if scenario.today.weekday() not in WEEKEND:  # nothing is sent then
                assert scenario.run().outcome == RunOutcome.OK
            scenario.pass_days(1)
            player.go_on(scenario.today)
        own = scenario.app.settings.mail_from
        with reading(scenario.app.engine) as session:
            names = {row.external_id: row.name for row in session.scalars(select(CustomerRow))}
            tasks = [(names.get(row.customer_id, ""), row.code, row.reason) for row in session.scalars(select(Task))]
            fees = [names[fee.customer_id] for fee in scenario.outbox("done") if fee.kind == OutboxKind.LATE_FEE]
        scenario.app.close()
        yield Played(scenario, [each for each in scenario.sandbox.sendgrid.emails() if own not in each.to], tasks, fees)


def test_nobody_is_thanked_for_a_payment_that_never_came(played: Played) -> None:
    for address in ("coldharbour-crates", "nettlecombe-nursery"):
        assert not any("Thank you" in subject for subject in played.subjects(address)), address


def test_nobody_is_thanked_for_a_debt_that_was_written_off(played: Played) -> None:
    assert played.to("sunken-salvage")
    assert not any("Thank you" in subject for subject in played.subjects("sunken-salvage"))


def test_a_dispute_won_in_part_ends_with_thanks_for_the_rest(played: Played) -> None:
    thanks = played.to("quarrel-quarry")[-1]
    assert "received your payment of £600.00" in thanks.text


def test_a_payment_of_a_part_that_is_entered_late_lowers_what_is_asked_for(played: Played) -> None:
    assert "£300.00" in played.to("tardy-tanners")[-1].text
    assert TaskCode.PROPOSE_WAIVER in played.task_codes("Tardy Tanners")


def test_whoever_pays_the_fee_too_is_thanked_and_asked_for_nothing_more(played: Played) -> None:
    assert "Honest Harness" in played.fees
    assert "Thank you" in played.subjects("honest-harness")[-1]
    assert TaskCode.UNPAID_FEE not in played.task_codes("Honest Harness")


def test_after_a_merge_of_an_empty_record_the_other_one_is_chased(played: Played) -> None:
    assert played.to("umber-umbrellas-ltd")
    assert not any("umber-umbrellas.example" in address for email in played.emails for address in email.to)


def test_thanks_name_the_money_that_came(played: Played) -> None:
    (thanks,) = [email for email in played.to("pennywhistle-fabrics") if "Thank you" in email.subject]
    assert "1,000.00" in thanks.text
    assert "1,200.00" not in thanks.text


def test_a_payment_that_came_back_is_a_task(played: Played) -> None:
    assert TaskCode.PAYMENT_RETURNED in played.task_codes("Bouncing Barrels")


def test_a_crumb_of_credit_does_not_silence_the_chase(played: Played) -> None:
    first = played.to("crumbley-mills")[0]
    assert "11,999.97" in first.text


def test_what_a_payment_on_account_covers_is_not_asked_for_again(played: Played) -> None:
    assert "600.00" in played.to("halfway-haulage")[0].text
    assert TaskCode.APPLY_CREDIT in played.task_codes("Halfway Haulage")


def test_a_missing_cent_is_not_chased(played: Played) -> None:
    overdue = [email for email in played.to("shortfall-shirts") if "0.01" in email.text]
    assert overdue == []


def test_a_family_whose_parent_has_paid_on_account_is_not_chased(played: Played) -> None:
    if played.scenario.company.provider == "quickbooks":  # Xero has no parents
        assert played.to("harbour-hill") == []


def test_no_invoice_is_named_twice_or_not_at_all(played: Played) -> None:
    for email in played.to("doublet-dairy"):
        assert " and  " not in email.subject
        assert ",  " not in email.subject
        assert ", and" not in email.subject
    if played.scenario.company.provider == "quickbooks":
        assert "the one of" in played.to("doublet-dairy")[0].text


def test_one_mailbox_gets_one_email_a_day(played: Played) -> None:
    days: list[date] = [email.at.date() for email in played.to("twinbrook")]
    assert days
    assert len(set(days)) == len(days)


def test_an_address_field_with_a_name_and_two_addresses_is_understood(played: Played) -> None:
    recipients = {each for email in played.to("scribble") for each in email.to}
    assert {"ap@scribble.example", "owner@scribble.example"} & recipients


def test_after_a_due_date_moved_out_the_first_email_is_a_first_reminder(played: Played) -> None:
    moved = [subject for subject in played.subjects("laterly-logistics") if "Second" in subject]
    assert moved == []


def test_an_invoice_that_is_entered_late_is_not_chased_at_once(played: Played) -> None:
    entered_on = NOON.date() + timedelta(days=3)
    assert all(email.at.date() >= entered_on + timedelta(days=3) for email in played.to("backdated-bakery"))
    assert not any("45 days" in email.text for email in played.to("backdated-bakery"))


def test_no_fee_follows_a_warning_that_bounced(played: Played) -> None:
    assert "Gone Gardens" not in played.fees
    assert "Doublet Dairy" in played.fees  # who was warned


def test_a_full_mailbox_does_not_suppress_the_address(played: Played) -> None:
    assert TaskCode.SUPPRESSED not in played.task_codes("Fullbox Furniture")


def test_nobody_gets_more_than_one_email_a_day(played: Played) -> None:
    seen = [(address, email.at.date()) for email in played.emails for address in email.to]
    assert len(set(seen)) == len(seen)


def test_the_task_about_a_missing_address_ends_with_the_email_to_the_corrected_one(late_customer: Scenario) -> None:
    def states() -> list[str]:
        with reading(late_customer.app.engine) as session:
            return [task.state for task in session.scalars(select(Task)) if task.code == TaskCode.NO_EMAIL_ADDRESS]

    company = late_customer.company
    company.simulator.set_email("Ashdown Ltd", "", **company.company_filter)
    late_customer.run()
    assert states() == ["open"]
    late_customer.sandbox.clock.advance(timedelta(hours=1))
    company.simulator.set_email("Ashdown Ltd", "pay@ashdown.example", **company.company_filter)
    late_customer.run()
    assert [to for to, _subject in late_customer.customer_emails()] == [("pay@ashdown.example",)]
    assert states() == ["cancelled"]
