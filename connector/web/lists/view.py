"""What a list page is made of: columns, rows of cells, and the actions on chosen rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from markupsafe import Markup
from sqlmodel import Session

from connector.services.lists.bulk import Actor, BulkResult, SeenRow
from connector.services.lists.engine import Key, Listing
from connector.vocabulary import Role
from connector.web.page_request import PageRequest
from connector.web.rendering import format_money


class Narrow(StrEnum):
    """Where a column stands in the two lines of a row for which there is no room in columns."""

    SIDE = "side"  # ends the first line
    SECOND = "second"  # on the second line, cut where it is too long
    END = "end"  # ends the second line
    MORE = "more"  # shown once the row is opened


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``sort`` is what the list is sorted by in it, ``total`` the money that is added up in it."""

    label: str
    sort: str = ""
    total: str = ""
    is_number: bool = False
    is_company: bool = False  # shown where the list is of more than one
    narrow: Narrow = Narrow.MORE  # the first column begins the first line, whatever it says


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: a text, perhaps a link, and a quieter note after it."""

    text: str | Markup
    href: str = ""
    note: str | Markup = ""
    note_href: str = ""
    style: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row; ``title`` names it for those who hear the page, ``exported`` are its values in a CSV file."""

    key: Key
    version: str
    title: str
    cells: Sequence[Cell]
    exported: Sequence[object]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an action."""

    name: str
    label: str
    type: str = "text"
    choices: Mapping[str, str] = field(default_factory=dict)


Apply = Callable[[PageRequest, Sequence[SeenRow], Actor], BulkResult]


@dataclass(frozen=True, slots=True)
class Action:
    """What can be done with chosen rows; ``notice`` is the notice after it, ``done`` what a report says was done."""

    value: str
    label: str
    apply: Apply
    notice: str
    done: str
    fields: tuple[Field, ...] = ()
    style: str = "second"
    can_undo: bool = False


@dataclass(frozen=True, slots=True)
class ListView:
    """A list page; ``plural`` and ``singular`` name its rows, ``load`` returns the rows of some keys in their order."""

    path: str
    title: str
    singular: str
    plural: str
    listing: Listing
    columns: tuple[Column, ...]
    load: Callable[[PageRequest, Session, Sequence[Key]], list[Row]]
    csv_headings: tuple[str, ...]
    empty: str  # what an empty list says where nobody filtered it
    empty_states: Mapping[str, str] = field(default_factory=dict)  # or what it says, by the value of the filter "state"
    actions: Callable[[Mapping[str, str]], tuple[Action, ...]] = lambda _values: ()  # by the values of the filters
    prominent: tuple[str, ...] = ("state", "search")  # the filters that are always in sight
    template: str = "list.html"
    min_role: Role = Role.VIEWER
    export_role: Role = Role.VIEWER
    tabbed: tuple[str, ...] = ()  # the filters that the page also shows as tabs
    sorts_by_state: Mapping[str, str] = field(default_factory=dict)  # where nobody chose a sort
    with_general: bool = False  # users of all companies also see the rows that belong to none


def money_cell(amount: Decimal | None, currency: str, **more: str) -> Cell:
    """Return the cell of an amount; a dash where there is none."""
    return Cell("–" if amount is None else format_money(amount, currency), **more)


def utc_text(at: datetime | None) -> str:
    """Return an instant in UTC as CSV files have it; "" for None."""
    return f"{at:%Y-%m-%d %H:%M:%S}" if at is not None else ""
