"""The tables of half-yearly rates: agreed with a second source, and extended by rates that users add."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from policies.document import PolicyError
from policies.fee_rules import FeePreset
from policies.half_years import half_year_end, half_year_start, next_half_year
from policies.policy import ReminderPolicy
from policies.rate_tables import (
    SOURCE_MAX,
    AddedRate,
    AddedRates,
    check_new_rates,
    format_rates,
    load_rate_table,
    merge_rates,
    parse_rates,
    read_rate,
)

TODAY = date(2026, 12, 28)
TABLES = [preset for preset in FeePreset if load_rate_table(preset)]
# The reference rates of 1 January 2023 to 1 July 2026, from sources other than the presets name; read in November 2026.
ECB = ["2.5", "4", "4.5", "4.25", "3.15", "2.15", "2.15", "2.4"]  # the Irish department, the Dutch table less 8
SECOND_SOURCE = {
    FeePreset.UK: [
        "3.5",
        "5",
        "5.25",
        "5.25",
        "4.75",
        "4.25",
        "3.75",
        "3.75",
    ],  # Bank of England's series, 30/6 and 31/12
    FeePreset.IRELAND: ECB,
    FeePreset.EU: ECB,
    FeePreset.FRANCE: ECB,
    FeePreset.NETHERLANDS: ECB,
    FeePreset.SPAIN: ECB,
    FeePreset.GERMANY: ["1.62", "3.12", "3.62", "3.37", "2.27", "1.27", "1.27", "1.52"],  # Bundesbank
    FeePreset.AUSTRIA: ["1.88", "3.38", "3.88", "3.88", "2.53", "1.53", "1.53", "1.53"],  # OeNB, on the first day
    FeePreset.BELGIUM: ["2.5", "4", "4.5", "4.5", "3.5", "2.5", "2.5", "2.5"],  # ECB, rounded up to the half point
}


def new_rate(rate: str = "9.99", from_on: str = "2027-01-01", preset: str = "uk") -> AddedRate:
    return read_rate(
        {
            "preset": preset,
            "from_on": date.fromisoformat(from_on),
            "rate": rate,
            "source": "bankofengland.co.uk, Bank Rate",
            "checked_on": TODAY,
        }
    )


def refusal(*rates: AddedRate, added: AddedRates = (), replace: bool = False) -> str:
    try:
        check_new_rates(rates, added, TODAY, replace=replace)
    except PolicyError as error:
        return str(error)
    return ""


def test_every_table_has_a_second_source() -> None:
    assert set(SECOND_SOURCE) == set(TABLES)


@pytest.mark.parametrize("preset", TABLES)
def test_a_table_is_the_reference_rate_of_a_second_source_plus_the_points_of_the_law(preset: FeePreset) -> None:
    table = load_rate_table(preset)
    assert table
    expected = [Decimal(each) + table.margin for each in SECOND_SOURCE[preset]]
    assert [rate for on, rate, _verified in table.rates if on >= date(2023, 1, 1)] == expected


@pytest.mark.parametrize("preset", TABLES)
def test_a_table_has_no_gaps_and_says_where_it_is_published(preset: FeePreset) -> None:
    table = load_rate_table(preset)
    assert table
    dates = [on for on, _rate, _verified in table.rates]
    assert dates[1:] == [next_half_year(on) for on in dates[:-1]]
    assert [half_year_start(on) for on in dates] == dates
    assert table.known_until == half_year_end(dates[-1])
    assert table.published_at
    assert table.rule
    assert table.source


def test_only_what_two_sources_agree_on_counts_as_verified() -> None:
    tables = [table for preset in FeePreset if (table := load_rate_table(preset))]
    unverified = {(table.preset, str(on)) for table in tables for on, _, verified in table.rates if not verified}
    assert unverified == {(FeePreset.BELGIUM, "2026-07-01")}


def test_an_added_rate_applies_to_its_own_preset_only_and_ends_with_its_half_year() -> None:
    added = (new_rate(),)
    for preset, rate in (("uk", "9.99"), ("germany", "10.52")):
        rules = ReminderPolicy.from_toml(f'[late_fees]\npreset = "{preset}"\n', added).late_fees
        assert rules.annual_rate_on(date(2027, 3, 1)) == Decimal(rate)
        assert rules.missing_rate_on() == (date(2027, 7, 1) if preset == "uk" else date(2027, 1, 1))


def test_an_added_rate_reaches_a_customer_policy_with_its_preset() -> None:
    other = '[policies.london]\napplies_to = { tags = ["london"] }\n[policies.london.late_fees]\npreset = "uk"\n'
    policy = ReminderPolicy.from_toml(f'[late_fees]\npreset = "germany"\n{other}', (new_rate(),))
    ((_, london),) = policy.customer_policies
    assert london.late_fees.annual_rate_on(date(2027, 3, 1)) == Decimal("9.99")
    assert policy.late_fees.annual_rate_on(date(2027, 3, 1)) == Decimal("10.52")


def test_a_rate_in_the_document_takes_precedence_over_an_added_one() -> None:
    document = '[late_fees]\npreset = "uk"\nrates = { "2027-01-01" = 8.88 }\n'
    rules = ReminderPolicy.from_toml(document, (new_rate(),)).late_fees
    assert rules.annual_rate_on(date(2027, 1, 1)) == Decimal("8.88")


def test_an_added_rate_verifies_one_that_was_not() -> None:
    belgian = new_rate("10.5", "2026-07-01", "belgium")
    assert refusal(belgian) == ""
    assert (
        "2026-07-01"
        not in ReminderPolicy.from_toml('[late_fees]\npreset = "belgium"\n', (belgian,)).late_fees.unverified
    )


def test_rates_survive_being_written_and_read() -> None:
    rates = merge_rates((new_rate(),), [new_rate("10.1", preset="eu"), new_rate("8.5")])
    assert [each.rate for each in rates] == [Decimal("10.1"), Decimal("8.5")]
    assert parse_rates(format_rates(rates)) == rates


@pytest.mark.parametrize(
    ("rate", "reason"),
    [
        (new_rate("11.75", "2026-07-01"), "the table already has 11.75 % for it"),
        (new_rate(from_on="2027-07-01"), "is not published yet"),
        (new_rate(from_on="2021-01-01"), "add the half-year just before it first"),
        (new_rate(preset="us"), "has no half-yearly rates"),
        (new_rate(preset="switzerland"), "has no half-yearly rates"),
        (new_rate("99"), "99 % is too far from 11.75 % from 1 Jul 2026."),
        (new_rate("1.18"), "is too far from"),
        (new_rate("3.75"), "Enter the whole rate: the reference rate plus 8 points."),
        (new_rate().model_copy(update={"checked_on": date(2027, 1, 5)}), "which is not yet past"),
    ],
)
def test_a_rate_that_cannot_be_right_is_refused(rate: AddedRate, reason: str) -> None:
    assert reason in refusal(rate)
    assert ".." not in refusal(rate)


def test_a_gap_is_refused_but_rates_that_follow_each_other_are_not() -> None:
    later = date(2027, 12, 28)
    first, second = new_rate(), new_rate("9.5", "2027-07-01")
    with pytest.raises(PolicyError, match="the rate from 1 Jan 2027 is missing: add it first"):
        check_new_rates([second], (), later, replace=False)
    check_new_rates([second, first], (), later, replace=False)
    check_new_rates([second], (first,), later, replace=False)


def test_a_rate_added_twice_is_refused_unless_it_replaces() -> None:
    assert "already has 9.99 %" in refusal(new_rate("9.5"), added=(new_rate(),))
    assert refusal(new_rate("9.5"), added=(new_rate(),), replace=True) == ""
    assert "named twice" in refusal(new_rate("9.5"), new_rate("9.5"), replace=True)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("from_on = 2027-02-01", "from_on must be the first day of a half-year, 1 January or 1 July, not 1 Feb 2027"),
        ("rate = 0", "rate must be above 0"),
        ("rate = 11.755", "at most two decimals"),
        ("rate = 117", "rate must be a number from 0 to 100"),
        ('source = ""', "source must be a text of one line"),
        ('preset = "atlantis"', "preset must be one of uk, eu, germany, france, ireland"),
        ('preset = "none"', "preset must be one of uk, eu"),
        ("base = 3", "rate 1: base is not known here"),
    ],
)
def test_a_file_of_rates_names_what_is_wrong(lines: str, reason: str) -> None:
    values = {"preset": '"uk"', "from_on": "2027-01-01", "rate": "9.99", "source": '"x"', "checked_on": "2026-12-28"}
    key, _, value = lines.partition(" = ")
    text = "[[rates]]\n" + "\n".join(f"{name} = {each}" for name, each in {**values, key: value}.items())
    with pytest.raises(PolicyError) as caught:
        parse_rates(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize("written", ['"9,99"', '"9.99 %"', '"9,99%"', "9.99"])
def test_a_rate_is_read_as_it_is_written(written: str) -> None:
    values = f'preset = "uk"\nfrom_on = 2027-01-01\nrate = {written}\nsource = "x"\nchecked_on = 2026-12-28\n'
    assert [each.rate for each in parse_rates(f"[[rates]]\n{values}")] == [Decimal("9.99")]


@pytest.mark.parametrize("text", ["[late_fees]\nrate = 1\n", "rates = 3\n", "[rates]\nuk = 3\n"])
def test_a_file_of_rates_holds_nothing_else(text: str) -> None:
    with pytest.raises(PolicyError, match=r"\[\[rates\]\] tables only"):
        parse_rates(text)


def test_what_is_missing_in_a_file_of_rates_is_named() -> None:
    with pytest.raises(PolicyError, match="rate 1: source is missing"):
        parse_rates('[[rates]]\npreset = "uk"\nfrom_on = 2027-01-01\nrate = 9.99\nchecked_on = 2026-12-28\n')


@pytest.mark.parametrize(("length", "is_refused"), [(SOURCE_MAX, False), (SOURCE_MAX + 1, True), (0, True)])
def test_a_source_is_as_long_as_its_field(length: int, *, is_refused: bool) -> None:
    assert SOURCE_MAX == 300
    source = {"preset": "uk", "from_on": date(2027, 1, 1), "rate": "9.99", "source": "x" * length, "checked_on": TODAY}
    if is_refused:
        with pytest.raises(ValueError, match="source"):
            read_rate(source)
    else:
        assert read_rate(source).source == source["source"]


def test_a_fee_of_the_first_day_of_an_unverified_rate_is_based_on_it() -> None:
    rules = ReminderPolicy.from_toml('[late_fees]\npreset = "belgium"').late_fees
    first_on = date(2026, 7, 1)
    before = first_on - timedelta(days=1)
    assert rules.unverified_inputs(before, first_on, with_compensation=False) == ["the rate of 10.5 % from 1 Jul 2026"]
    assert rules.unverified_inputs(before - timedelta(days=9), before, with_compensation=False) == []
