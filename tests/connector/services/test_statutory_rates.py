"""Statutory rates that users add: they make fees of the new half-year automatic again, and survive every new policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select
from sqlmodel import Session, col

from connector import policy_store
from connector.app_context import AppContext
from connector.db.engine import reading, writing
from connector.db.tables import Connection, PolicyVersion, SyncLogEntry
from connector.services import added_rates, fees, statutory_rates
from policies.document import PolicyError
from policies.policy import ReminderPolicy
from policies.rate_tables import AddedRate, read_rate
from tests.connector.scenario import ScenarioFactory

NOON = datetime(2026, 12, 28, 12, 0, tzinfo=UTC)
UK = '[late_fees]\nenabled = true\npreset = "uk"\nterms_agreed_on = 2025-01-01\napproval = "automatic"\n'
GERMANY = UK.replace("uk", "germany")
JANUARY = date(2027, 1, 1)


def uk_rate(rate: str = "9.99") -> AddedRate:
    values = {"preset": "uk", "from_on": JANUARY, "rate": rate, "source": "Bank Rate", "checked_on": NOON.date()}
    return read_rate({**values, "added_by": "ann"})


def add(session: Session, *rates: AddedRate, connection_id: int | None = None) -> int:
    return added_rates.add_rates(session, rates, by="ann", at=NOON, connection_id=connection_id, replace=False)


def january_rate(session: Session, connection_id: int | None) -> Decimal:
    return policy_store.get_policy(session, connection_id)[0].late_fees.annual_rate_on(JANUARY)


@pytest.fixture
def companies(app: AppContext) -> tuple[int, int]:
    """Two connected companies: the first follows the general policy, the second has its own."""
    with writing(app.engine) as session:
        for name in ("one", "two"):
            session.add(Connection(short_name=name, provider="xero", external_id=name, name=name, created_at=NOON))
        session.flush()
        policy_store.set_policy(session, UK, by="ann", at=NOON)
        policy_store.set_policy(session, UK, by="ann", at=NOON, connection_id=2)
    return 1, 2


def test_a_rate_for_all_reaches_companies_with_a_policy_of_their_own(
    app: AppContext, companies: tuple[int, int]
) -> None:
    with writing(app.engine) as session:
        add(session, uk_rate())
        assert [january_rate(session, each) for each in (None, *companies)] == [Decimal("9.99")] * 3
        texts = list(session.scalars(select(col(SyncLogEntry.text))))
    assert len(texts) == 2
    told = "United Kingdom 9.99 % from 1 Jan 2027 (source: Bank Rate, compared on 28 Dec 2026)"
    assert [text for text in texts if told not in text] == []


def test_a_rate_for_one_company_leaves_the_others_alone(app: AppContext, companies: tuple[int, int]) -> None:
    one, two = companies
    with writing(app.engine) as session:
        add(session, uk_rate("8.88"), connection_id=one)
        assert january_rate(session, one) == Decimal("8.88")
        assert policy_store.get_policy(session, one)[0].late_fees.enabled
        assert [january_rate(session, each) for each in (None, two)] == [Decimal("11.75")] * 2
        add(session, uk_rate())  # for all: the company's own stays
        assert [january_rate(session, each) for each in (None, one, two)] == [
            Decimal("9.99"), Decimal("8.88"), Decimal("9.99"),
        ]  # fmt: skip


def test_added_rates_survive_every_new_document(app: AppContext, companies: tuple[int, int]) -> None:
    one, two = companies
    with writing(app.engine) as session:
        version = add(session, uk_rate())
        before = policy_store.set_policy(session, GERMANY, by="ann", at=NOON)
        policy_store.set_policy(session, UK, by="ann", at=NOON, connection_id=one)
        policy_store.set_policy(session, "", by="ann", at=NOON, connection_id=two)
        assert january_rate(session, one) == Decimal("9.99")
        assert january_rate(session, two) == Decimal("10.52")
        policy_store.set_policy(session, UK, by="ann", at=NOON)
        assert january_rate(session, two) == Decimal("9.99")
        # what was decided under an earlier version is decided again under the same rates
        assert policy_store.get_version_policy(session, version).late_fees.missing_rate_on() == date(2027, 7, 1)
        assert policy_store.get_version_policy(session, before).late_fees.missing_rate_on() == JANUARY


def test_a_rate_can_be_added_before_any_policy_was_set(app: AppContext) -> None:
    with writing(app.engine) as session:
        version = add(session, uk_rate())
        policy, active = policy_store.get_policy(session, None)
        assert active == version
        assert policy == ReminderPolicy.default()
        policy_store.set_policy(session, UK, by="ann", at=NOON)
        assert january_rate(session, None) == Decimal("9.99")


def test_a_rate_of_the_document_is_named_where_it_overrules_the_added_one(app: AppContext) -> None:
    with writing(app.engine) as session:
        policy_store.set_policy(session, f'{UK}rates = {{ "2027-01-01" = 7.77 }}\n', by="ann", at=NOON)
        add(session, uk_rate())
        assert added_rates.list_overruled_rates(session, [uk_rate()], None) == ["The policy of all companies"]
        assert january_rate(session, None) == Decimal("7.77")


def test_nothing_is_added_if_one_of_several_rates_is_refused(app: AppContext) -> None:
    with pytest.raises(PolicyError), writing(app.engine) as session:
        add(session, uk_rate(), uk_rate("88"))
    with reading(app.engine) as session:
        assert session.scalars(select(PolicyVersion)).all() == []


def test_the_control_group_is_measured_since_its_document_not_since_a_rate(app: AppContext) -> None:
    with writing(app.engine) as session:
        policy_store.set_policy(session, f"{UK}[control_group]\npercent = 5\n", by="ann", at=NOON - timedelta(days=90))
        version = add(session, uk_rate())
        assert policy_store.get_document_date(session, version) == NOON - timedelta(days=90)


@pytest.mark.parametrize(
    ("days", "document", "added", "words"),
    [
        (2, UK, False, ""),  # 31 days before
        (3, UK, False, "end on 31 Dec 2026"),
        (3, UK, True, ""),
        (40, UK, False, "ended on 31 Dec 2026"),
        (3, UK.replace("enabled = true", "enabled = false"), False, ""),
        (3, UK.replace("uk", "switzerland"), False, ""),
        (3, f'{UK}[policies.de]\napplies_to = {{ tags = ["de"] }}\n[policies.de.late_fees]\npreset = "germany"\n',
         True, "(Germany) end on 31 Dec 2026"),
    ],
)  # fmt: skip
def test_the_doctor_warns_30_days_before_a_table_in_use_ends(
    app: AppContext, days: int, document: str, words: str, *, added: bool
) -> None:
    app = replace(app, now=lambda: datetime(2026, 11, 28, 12, 0, tzinfo=UTC) + timedelta(days=days))
    with writing(app.engine) as session:
        session.add(Connection(short_name="one", provider="xero", external_id="1", name="One Ltd", created_at=NOON))
        policy_store.set_policy(session, document, by="ann", at=NOON)
        if added:
            add(session, uk_rate())
    findings = list(statutory_rates.rates(app))
    assert [each.status for each in findings] == ["warning" if words else "ok"]
    assert words in findings[0].message
    if words:
        assert "One Ltd" in findings[0].message
        assert "duewell policy rates add" in findings[0].fix
        assert ("bankofengland.co.uk" if "Germany" not in words else "bundesbank.de") in findings[0].fix


@pytest.mark.parametrize("provider", ["xero", "quickbooks"])
def test_fees_of_the_new_half_year_wait_for_a_person_until_its_rate_is_added(
    scenario_at: ScenarioFactory, provider: str
) -> None:
    start = datetime(2027, 1, 12, 11, 0, tzinfo=UTC)
    with scenario_at(start, provider) as scenario:
        scenario.company.customer("Ashdown Ltd")
        scenario.company.invoice("Ashdown Ltd", "1200.00", due_on=date(2027, 1, 4), on=date(2026, 12, 10))
        scenario.go_live().set_policy(UK)
        scenario.run()
        scenario.pass_days(28)
        scenario.run()
        with reading(scenario.app.engine) as session:
            (waiting,) = fees.find_fees(session)
        assert waiting.state == "draft"
        with writing(scenario.app.engine) as session:
            added_rates.add_rates(
                session, [uk_rate()], by="ann", at=scenario.app.now(), connection_id=None, replace=False
            )
        scenario.run()
        with reading(scenario.app.engine) as session:
            (posted,) = fees.find_fees(session)
        assert posted.state == "posted"
        # 1200 x 9.99 % x 31 / 365 = 10.18, and 70 for a debt from 1,000
        assert posted.amount == "80.18"
