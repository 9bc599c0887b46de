"""The engine of lists, and the search, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from benchmarks.full_year import NOW, DataSize, add_company, fill_company
from connector.db.engine import reading, writing
from connector.db.tables import CustomerRow, InvoiceRow
from connector.services.lists import customers, invoices, log, outbox, runs, tasks, users
from connector.services.lists.engine import (
    ListQuery,
    check_position,
    count_totals,
    decode_position,
    encode_position,
    find_page,
)
from connector.services.search import MatchKind, find_everywhere

LISTINGS = (
    *(invoices.LISTING, customers.LISTING, outbox.OUTBOX, outbox.FEES, tasks.LISTING, runs.LISTING),
    *(log.LISTING, users.LISTING),
)


def test_every_list_pages_forwards_and_back_by_every_column(engine: Engine) -> None:
    with writing(engine) as session:
        ids = [add_company(session, name) for name in ("Zeta", "alpha")]
        for company in ids:
            fill_company(session, DataSize(invoices=60, runs=7), company)
        for n in range(0, 60, 7):
            session.get_one(InvoiceRow, (ids[0], f"i{n}")).due_on = None
    with reading(engine) as session:
        for listing in LISTINGS:
            for name in listing.sorts:
                for sort in (name, f"-{name}"):
                    state = listing.find_filter("state")
                    query = ListQuery(
                        ids, {"state": "all"} if state and state.default else {}, sort, [(NOW.date(), ids)]
                    )
                    whole = find_page(session, listing, query, size=1000)
                    assert len(whole.keys) == count_totals(session, listing, query).count
                    page = find_page(session, listing, query, size=3)
                    pages = [page.keys]
                    while page.next is not None:
                        after = decode_position(listing, sort, encode_position(page.next))
                        assert after is not None
                        page = find_page(session, listing, query, after=after, size=3)
                        pages.append(page.keys)
                    assert [key for each in pages for key in each] == whole.keys, (listing.name, sort)
                    back: list[Any] = []
                    while page.previous is not None:
                        page = find_page(session, listing, query, before=page.previous, size=3)
                        back.insert(0, page.keys)
                    assert [key for each in back for key in each] == whole.keys[: -len(pages[-1])], (listing.name, sort)


def test_a_position_of_another_list_is_none_of_this_one() -> None:
    for position in ([], ["", 1], ["x", 1, "i"], ["", "1", "i"], ["2026-01-01", 1, "\x00"], ["", 2**40, "i"], 7):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever it is about
            check_position(invoices.LISTING, "due_on", position)
    for sort, value in (("due", str(10**30)), ("number", "\ud800"), ("number", "\x00")):
        with pytest.raises(ValueError):  # noqa: PT011 - no database compares with it
            check_position(invoices.LISTING, sort, [value, 1, "i"])
    with pytest.raises(ValueError):  # noqa: PT011 - nor finds such a key
        check_position(invoices.LISTING, "number", ["x", 1, "\udfff"])


def test_the_last_day_of_the_calendar_can_be_asked_for(engine: Engine) -> None:
    values = {"planned_from": "0001-01-01", "planned_to": "9999-12-31"}
    with reading(engine) as session:
        assert find_page(session, outbox.OUTBOX, ListQuery([1], values)).keys == []


@pytest.mark.parametrize(("sort", "value"), [("due", str(2**63)), ("due", "9" * 30), ("due_on", "9999-99-99")])
def test_a_position_that_no_database_can_hold_begins_the_list_anew(sort: str, value: str) -> None:
    position: list[str | int | None] = [value, 1, "i1"]
    assert decode_position(invoices.LISTING, sort, encode_position(position)) is None
    for at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-12:00"):
        assert decode_position(outbox.OUTBOX_PAGE, "send_after", encode_position([at, 1])) is None


def test_a_search_finds_numbers_amounts_names_and_addresses_best_first(engine: Engine) -> None:
    with writing(engine) as session:
        one, other = add_company(session, "One"), add_company(session, "Other")
        fill_company(session, DataSize(invoices=120, runs=1), one)
        fill_company(session, DataSize(invoices=10, runs=1), other)
        session.get_one(CustomerRow, (one, "c3")).emails = "Pay@Ash.example,ap@ash.example"
        session.get_one(CustomerRow, (one, "c5")).name = "École Sainte-Ânne"
        gone = session.get_one(CustomerRow, (one, "c4"))
        gone.deleted = True
    with reading(engine) as session:
        found = find_everywhere(session, [one], "inv-11")
        numbers = [each.name for each in found.of_kind(MatchKind.INVOICE)]
        assert (numbers[0], set(numbers[1:])) == ("INV-11", {f"INV-{n}" for n in range(110, 120)})
        assert found.only_exact_invoice is not None
        assert find_everywhere(session, [one, other], "INV-7").only_exact_invoice is None  # both have one
        for text in ("103.00", "EUR 103", "103,00"):
            assert [each.name for each in find_everywhere(session, [one], text).of_kind(MatchKind.AMOUNT)] == ["INV-3"]
        found = find_everywhere(session, [one], "AP@ash")
        assert [(each.id, each.detail) for each in found.matches] == [("c3", "Pay@Ash.example, ap@ash.example")]
        assert [each.id for each in find_everywhere(session, [one], "customer 00001").matches] == ["c1"]
        assert find_everywhere(session, [one], "Customer 00004").matches == []
        for text in ("École", "école", "ÉCOLE sainte", "sainte-â"):
            assert [each.id for each in find_everywhere(session, [one], text).matches] == ["c5"], text
            page = find_page(session, customers.LISTING, ListQuery([one], {"state": "all", "search": text}))
            assert page.keys == [(one, "c5")], text
        assert find_everywhere(session, [other], "INV-11").matches == []
        assert find_everywhere(session, [], "INV-7").matches == []
        assert find_everywhere(session, [one], "I").matches == []  # one letter must be all of it
        assert find_everywhere(session, [one], "%%").matches == []
        found = find_everywhere(session, [one], "inv")
        assert (len(found.matches), found.more) == (20, [MatchKind.INVOICE])
