"""Intuit's query language in the sandbox: results, order, pages, and what is rejected."""

from __future__ import annotations

import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from sandbox.quickbooks.bookkeeper import Bookkeeper
from sandbox.server import Sandbox
from tests.sandbox.quickbooks.conftest import Api


def _numbers(page: dict[str, Any], entity: str = "Invoice") -> list[str]:
    return [document["Id"] for document in page.get(entity, [])]


def test_query_without_a_limit_returns_a_hundred(api: Api) -> None:
    page = api.query("SELECT * FROM Invoice")
    assert (page["startPosition"], page["maxResults"], len(page["Invoice"])) == (1, 100, 100)
    assert page["totalCount"] == 100
    assert "totalCount" not in api.query("SELECT * FROM Payment")


def test_transactions_are_ordered_by_last_change_and_names_are_not(api: Api, sandbox: Sandbox) -> None:
    oldest = sandbox.quickbooks.invoices()[0]["Id"]
    sandbox.clock.advance(timedelta(minutes=1))
    sandbox.quickbooks.edit(oldest, PrivateNote="touched")
    page = api.query("select * from Invoice maxresults 1000")["Invoice"]
    stamps = [document["MetaData"]["LastUpdatedTime"] for document in page]
    assert page[0]["Id"] == oldest
    assert stamps[0] == "2026-11-21T04:01:00-08:00"
    customers = _numbers(api.query("select * from Customer"), "Customer")
    assert customers == sorted(customers, key=int)


def test_pages_by_id_contain_every_invoice_once_despite_edits(api: Api, sandbox: Sandbox) -> None:
    ids = [document["Id"] for document in sandbox.quickbooks.invoices()]
    seen: list[str] = []
    while True:
        page = _numbers(api.query(f"select * from Invoice orderby Id startposition {len(seen) + 1} maxresults 50"))
        seen += page
        if len(page) < 50:
            break
        sandbox.clock.advance(timedelta(seconds=2))
        sandbox.quickbooks.edit(ids[0], PrivateNote=f"edited after {len(seen)}")
    assert seen == ids


def test_conditions_are_joined_by_and(api: Api, sandbox: Sandbox) -> None:
    invoices = sandbox.quickbooks.invoices()
    page = api.query("select * from Invoice where Balance > '0' and DueDate < '2026-11-21' orderby Id maxresults 1000")
    overdue = [each["Id"] for each in invoices if each["Balance"] > 0 and each["DueDate"] < "2026-11-21"]
    assert overdue
    assert _numbers(page) == overdue
    assert api.query("select count(*) from Invoice where Balance > 0")["totalCount"] == sum(
        1 for each in invoices if each["Balance"]
    )


def test_each_operator_compares_by_the_type_of_the_property(api: Api, sandbox: Sandbox) -> None:
    invoices = sandbox.quickbooks.invoices()
    some = invoices[17]
    who = some["CustomerRef"]["value"]
    total = Decimal(some["TotalAmt"])

    def ids(condition: str) -> list[str]:
        return _numbers(api.query(f"select * from Invoice where {condition} orderby Id maxresults 1000"))

    assert ids(f"DocNumber = '{some['DocNumber']}'") == [some["Id"]]
    assert ids(f"Id IN ('{some['Id']}', '{invoices[3]['Id']}', '999999')") == [invoices[3]["Id"], some["Id"]]
    assert ids(f"CustomerRef = '{who}'") == [each["Id"] for each in invoices if each["CustomerRef"]["value"] == who]
    assert ids(f"TotalAmt <= '{total}' and TotalAmt >= '{total:.2f}'") == [
        each["Id"] for each in invoices if each["TotalAmt"] == total
    ]
    assert ids("DocNumber LIKE 'INV-10%'")[:1] == ["1"]
    assert ids("Id > '1' and TxnDate < '2020-01-01'") == []


def test_changes_since_a_time_are_found_by_index(api: Api, sandbox: Sandbox) -> None:
    some = sandbox.quickbooks.invoices()[5]["DocNumber"]
    sandbox.clock.advance(timedelta(minutes=5))
    sandbox.quickbooks.edit(some, PrivateNote="x")
    page = api.query("select * from Invoice where MetaData.LastUpdatedTime >= '2026-11-21T12:05:00Z'")
    assert [each["DocNumber"] for each in page["Invoice"]] == [some]
    page = api.query("select * from Invoice where MetaData.LastUpdatedTime > '2026-11-21T04:05:00-08:00'")
    assert page == {}


def test_inactive_names_are_hidden_unless_requested(empty_company: Api, bookkeeper: Bookkeeper) -> None:
    bookkeeper.deactivate("Ada")
    assert empty_company.query("select * from Customer") == {}
    found = empty_company.query("select * from Customer where Active in (true, false)")["Customer"]
    assert [(each["DisplayName"], each["Active"]) for each in found] == [("Ada (deleted)", False)]


def test_order_by_works_in_both_directions_and_for_several_properties(api: Api, sandbox: Sandbox) -> None:
    page = api.query("select * from Invoice orderby DueDate desc, Id maxresults 1000")["Invoice"]
    wanted = sorted(sandbox.quickbooks.invoices(), key=lambda each: int(each["Id"]))
    wanted.sort(key=lambda each: each["DueDate"], reverse=True)
    assert [each["Id"] for each in page] == [each["Id"] for each in wanted]
    assert _numbers(api.query("select * from Invoice order by Id desc maxresults 1")) == [
        sandbox.quickbooks.invoices()[-1]["Id"]
    ]


def test_quote_in_a_text_is_escaped_with_a_backslash(empty_company: Api, bookkeeper: Bookkeeper) -> None:
    bookkeeper.add_customer("O'Brien \\ Sons")
    page = empty_company.query(r"select * from Customer where DisplayName = 'O\'Brien \\ Sons'")
    assert page["Customer"][0]["DisplayName"] == "O'Brien \\ Sons"


def test_get_and_post_give_the_same_response(api: Api) -> None:
    statement = "select * from Term orderby Id"
    assert api.get("query", query=statement)["QueryResponse"] == api.query(statement)


@pytest.mark.parametrize(
    ("statement", "code", "words"),
    [
        ("select * from Invoice where Balance > '0' or TotalAmt > '5'", "4000", "or"),
        ("select * from Invoice where Balance < TotalAmt", "4000", "TotalAmt"),
        ("select * from Invoice group by Id", "4000", "group"),
        ("select * form Invoice", "4000", "form"),
        ("select * from Invoice where DocNumber = 'open", "4000", "Lexical"),
        ("select * from Invoice startposition 0", "4001", "value 0 is too small. Min allowed value is 1"),
        ("select * from Invoice maxresults 1001", "4001", "value 1001 is too large. Max allowed value is 1000"),
        ("select * from Invoice where PrivateNote = 'x'", "4001", "not queryable"),
        ("select * from Invoice where Colour = 'x'", "4001", "Property Colour not found"),
        ("select * from Invoice orderby SyncToken", "4001", "not queryable"),
        ("select Colour from Invoice", "4001", "Property Colour not found"),
        ("select * from Unicorn", "4001", "Unicorn"),
    ],
)
def test_unsupported_syntax_is_rejected(api: Api, statement: str, code: str, words: str) -> None:
    error = api.refused("POST", "query", raw=statement)
    assert error["code"] == code
    assert words in error["Detail"]


def test_empty_result_is_an_empty_object(api: Api) -> None:
    assert api.query("select * from Invoice where DocNumber = 'none'") == {}


def test_page_of_a_thousand_is_fast(api: Api, sandbox: Sandbox) -> None:
    sandbox.quickbooks.add_bulk_invoices(2000)
    began = time.perf_counter()
    page = api.query("select * from Invoice orderby Id startposition 1001 maxresults 1000")
    assert len(page["Invoice"]) == 1000
    assert time.perf_counter() - began < 2  # usually 30 ms; a busy machine takes longer
