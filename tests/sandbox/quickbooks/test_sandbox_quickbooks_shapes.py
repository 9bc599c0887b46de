"""Everything the simulated QuickBooks serves has the keys and values of Intuit's XML schema."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from sandbox.quickbooks.bookkeeper import Bookkeeper
from sandbox.quickbooks.properties import KNOWN
from sandbox.server import Sandbox
from tests.sandbox.quickbooks.conftest import Api

XSD = Path(__file__).parents[3].parent / "shared" / "vendor" / "quickbooks" / "xsd"
X = "{http://www.w3.org/2001/XMLSchema}"
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_PLAIN: dict[str, Any] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "decimal": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "date": lambda value: isinstance(value, str) and _DATE.fullmatch(value),
    "dateTime": lambda value: isinstance(value, str) and _INSTANT.fullmatch(value),
}
_PLAIN |= dict.fromkeys(("int", "long", "positiveInteger"), lambda value: isinstance(value, int))
# Where JSON is known to differ from the schema that describes the XML.
_FREE = {"IntuitAnyType"}  # LineEx: a dump of Java objects


class Schema:
    """The types of the schema as tables: element name to (type, may repeat), and the values of enumerations."""

    def __init__(self, folder: Path) -> None:
        self.types: dict[str, dict[str, tuple[str, bool]]] = {}
        self.values: dict[str, set[str]] = {}
        self.bases: dict[str, str] = {}
        for path in sorted(folder.glob("*.xsd")):
            root = ET.parse(path).getroot()
            for kind in root.findall(f"{X}complexType"):
                self._read(kind)
            for simple in root.findall(f"{X}simpleType"):
                self.values[simple.get("name", "")] = {each.get("value", "") for each in simple.iter(f"{X}enumeration")}

    def _read(self, kind: ET.Element) -> None:
        name = kind.get("name", "")
        table = {
            each.get("name", ""): (each.get("type", "").split(":")[-1], each.get("maxOccurs") == "unbounded")
            for each in kind.iter(f"{X}element")
            if each.get("name")
        }
        table |= {
            each.get("name", ""): (each.get("type", "").split(":")[-1], False) for each in kind.iter(f"{X}attribute")
        }
        extension = kind.find(f".//{X}extension")
        if extension is not None:
            self.bases[name] = extension.get("base", "").split(":")[-1]
            if kind.find(f"{X}simpleContent") is not None:
                table["value"] = ("string", False)
        self.types[name] = table

    def table(self, name: str) -> dict[str, tuple[str, bool]]:
        """Return all properties of a type, including those of its bases."""
        return {**(self.table(self.bases[name]) if self.bases.get(name) in self.types else {}), **self.types[name]}

    def complaints(self, kind: str, value: Any, path: str) -> list[str]:
        """Yield what about a value does not match its type."""
        if kind in _FREE:
            return []
        if kind in self.types:
            return self._object(kind, value, path)
        if self.values.get(kind):
            return [] if value in self.values[kind] else [f"{path}: {value!r} is none of {kind}"]
        check = _PLAIN.get(kind, _PLAIN["string"])
        return [] if check(value) else [f"{path}: {value!r} is no {kind}"]

    def _object(self, kind: str, value: Any, path: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is no object"]
        table = self.table(kind)
        found = [f"{path}.{name} is no property of {kind}" for name in value if name not in table]
        for name, part in value.items():
            if name not in table:
                continue
            part_kind, repeats = table[name]
            if repeats != isinstance(part, list):
                found.append(f"{path}.{name}: a list {'is wanted' if repeats else 'is not'}")
                continue
            for n, each in enumerate(part if repeats else [part]):
                found += self.complaints(part_kind, each, f"{path}.{name}[{n}]" if repeats else f"{path}.{name}")
        return found


@pytest.fixture(scope="module")
def schema() -> Schema:
    if not XSD.is_dir():
        pytest.skip(f"Intuit's schema is not here ({XSD})")
    return Schema(XSD)


def test_schema_check_finds_errors(schema: Schema) -> None:
    bad = {
        "Id": 5,
        "TotalAmt": "5",
        "Colour": 1,
        "TxnDate": "soon",
        "EmailStatus": "Maybe",
        "Line": {},
        "Balance": True,
    }
    assert len(schema.complaints("Invoice", bad, "Invoice")) == 7


@pytest.mark.parametrize(
    "entity", ["Invoice", "Payment", "CreditMemo", "Customer", "Item", "Account", "Term", "TaxCode", "Attachable"]
)
def test_every_object_of_a_year_matches_the_schema(schema: Schema, api: Api, entity: str) -> None:
    active = " where Active in (true, false)" if entity == "Customer" else ""
    reply = api.call("POST", "query", raw=f"select * from {entity}{active} orderby Id maxresults 1000").json()
    objects = reply["QueryResponse"][entity]
    assert objects
    found = [complaint for each in objects for complaint in schema.complaints(entity, each, f"{entity} {each['Id']}")]
    assert found == []


def test_company_info_matches_the_schema(schema: Schema, api: Api) -> None:
    for path, entity in (("companyinfo/1", "CompanyInfo"), ("preferences", "Preferences")):
        reply = api.call("GET", path).json()
        assert schema.complaints(entity, reply[entity], entity) == []
        assert schema.complaints("dateTime", reply["time"], "time") == []


def test_objects_of_a_day_of_work_match_the_schema(
    schema: Schema, empty_company: Api, bookkeeper: Bookkeeper, sandbox: Sandbox
) -> None:
    sandbox.clock.advance(timedelta(seconds=1.25))
    bookkeeper.add_customer("Dora", currency="CAD", PrimaryPhone={"FreeFormNumber": "5"}, Notes="x")
    for who in ("Ada", "Dora"):
        first, second = (bookkeeper.add_invoice(who, "50.55")["DocNumber"] for _ in range(2))
        bookkeeper.pay(first, "20.05")
        bookkeeper.apply_credit(bookkeeper.credit(who, 10)["Id"], first)
        bookkeeper.void(second)
    bookkeeper.note(first, "seen")
    bookkeeper.void_payment(bookkeeper.pay_unapplied("Ada", 5)["Id"])
    bookkeeper.delete(bookkeeper.add_invoice("Ada", 7)["DocNumber"])
    bookkeeper.deactivate("Dora")
    entities = "Customer,Invoice,Payment,CreditMemo,Attachable,Item,Account,Term"
    asked = {"entities": entities, "changedSince": "2026-11-21T11:00:00Z"}
    (told,) = empty_company.call("GET", "cdc", **asked).json()["CDCResponse"]
    for entity, page in zip(entities.split(","), told["QueryResponse"], strict=True):
        for each in page[entity]:
            assert schema.complaints(entity, each, entity) == []
    assert any(each.get("status") == "Deleted" for page in told["QueryResponse"] for each in page.get("Invoice", []))


def test_faults_match_the_schema(schema: Schema, empty_company: Api) -> None:
    for call in (("GET", "invoice/9"), ("GET", "unicorn/9"), ("POST", "invoice")):
        fault = empty_company.call(*call, body={}).json()["Fault"]
        assert schema.complaints("Fault", fault, "Fault") == []


def test_known_properties_are_those_of_the_schema(schema: Schema) -> None:
    sdk_only = {"Payment": {"TaxExemptionRef"}}  # python-quickbooks can send it; the schema has it only on sales forms
    for entity, known in KNOWN.items():
        assert known - set(schema.table(entity)) - sdk_only.get(entity, set()) == set(), entity
