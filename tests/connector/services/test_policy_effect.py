"""The effect of a policy beside the one in force: what is counted, and how long it may take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.full_year import NOW, DataSize, add_company, fill_company
from connector.app_context import AppContext, open_app
from connector.db.engine import writing
from connector.errors import Busy
from connector.services import policy_effect, upcoming_actions
from connector.services.policy_evaluation import diff_policy
from connector.settings import load_settings
from connector.vocabulary import PolicyChangeKind, UpcomingKind
from policies.policy import ReminderPolicy

ONE_CELL = "[past_due]\nestablished = { medium = 9, small = 9 }\n"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AppContext, int]]:
    home = tmp_path_factory.mktemp("home")
    home.chmod(0o700)
    app = open_app(load_settings(duewell_home=home), now=lambda: NOW)
    with writing(app.engine) as session:
        company_id = add_company(session)
        fill_company(session, DataSize(invoices=60, runs=2), company_id)
    yield app, company_id
    app.close()


def effect(company: tuple[AppContext, int], document: str, **more: float) -> policy_effect.PolicyEffect:
    return policy_effect.measure_effect(company[0], [company[1]], ReminderPolicy.from_toml(document), **more)


def counts(found: policy_effect.PolicyEffect) -> dict[UpcomingKind, tuple[int, int]]:
    return {line.kind: (line.now.count, line.then.count) for line in found.lines}


@pytest.mark.parametrize("document", [ONE_CELL, 'tone = "gentle"\n', "[frequency]\nmin_days_between = 9\n"])
def test_it_counts_what_a_full_comparison_finds(company: tuple[AppContext, int], document: str) -> None:
    """Customers whom the change cannot reach are simulated once, and nothing is lost by that."""
    found = effect(company, document, seconds_max=60)
    changes = diff_policy(*company, ReminderPolicy.from_toml(document))
    assert found.is_complete
    assert {each.customer_id for each in found.changed} == {each.customer_id for each in changes}
    for line in found.lines:
        kinds = [each.change for each in changes if each.kind is line.kind]
        net = kinds.count(PolicyChangeKind.ADDED) - kinds.count(PolicyChangeKind.REMOVED)
        assert line.difference == net, line.kind
    emails = found.lines[0]
    assert emails.now.count
    [(currency, now, _then)] = emails.sums
    assert currency == "EUR"
    assert now > 0


def test_an_unchanged_policy_changes_nothing(company: tuple[AppContext, int]) -> None:
    found = effect(company, "# the same\n")
    assert (found.changed, found.texts_differ) == ([], False)
    assert all(now == then for now, then in counts(found).values())
    assert found.summary == "No step changes in the next 30 days."
    worded = effect(company, '[payment_instructions]\ndefault = "By transfer."\n')
    assert (worded.changed, worded.texts_differ) == ([], True)


def test_it_says_of_how_many_customers_it_is_where_the_time_is_over(
    company: tuple[AppContext, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = effect(company, 'tone = "firm"\n', seconds_max=0)
    assert (found.evaluated, found.customers, found.is_complete) == (1, 6, False), "one at least"
    answers = iter([False] * (6 + 1) + [True] * 9)  # all six are loaded in time, and not all are simulated
    monkeypatch.setattr(policy_effect._Budget, "is_spent", lambda _self: next(answers))
    some = effect(company, 'tone = "firm"\n')
    assert (some.evaluated, some.customers, some.is_complete) == (2, 6, False)
    assert some.summary.startswith("Compared for 2 of 6 customers: ")


def test_customers_whom_the_change_reaches_come_first(company: tuple[AppContext, int]) -> None:
    reached = {each.customer_id for each in effect(company, ONE_CELL, seconds_max=60).changed}
    simulated: list[str] = []

    def note(session: Any, row: Any, group: Any, *more: Any) -> Any:
        simulated.extend(each.customer_id for each in group)
        return upcoming_actions.simulate(session, row, group, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy_effect, "simulate", note)
        effect(company, ONE_CELL, seconds_max=60)
    twice = [each for each in dict.fromkeys(simulated) if simulated.count(each) == 2]
    assert reached <= set(twice)
    assert list(dict.fromkeys(simulated))[: len(twice)] == twice


def test_a_control_group_keeps_the_policy_in_force(company: tuple[AppContext, int]) -> None:
    everybody = effect(company, 'tone = "firm"\n', seconds_max=60)
    half = effect(company, 'tone = "firm"\n[control_group]\npercent = 50\n', seconds_max=60)
    assert {each.customer_id for each in half.changed} < {each.customer_id for each in everybody.changed}


def test_one_user_has_one_comparison_at_a_time() -> None:
    with policy_effect.one_at_a_time(7):
        with policy_effect.one_at_a_time(8):
            pass
        with pytest.raises(Busy, match="still being compared"), policy_effect.one_at_a_time(7):
            pass
    with policy_effect.one_at_a_time(7):
        pass
