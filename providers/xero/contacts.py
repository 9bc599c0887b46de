"""Maps Xero's contacts to customers: every address that may receive email, and the country as a code."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from providers.addresses import ParsedAddresses, parse_fields
from providers.geo import country_code
from providers.ledger import ChangePage, CustomerRecord
from providers.phones import PhoneKind, join_phones
from providers.xero import schemas
from providers.xero.values import parse_instant

_STORED = Decimal("0.0001")
_PERSON_LENGTH_MAX = 300
_PHONE_KINDS = {"DEFAULT": PhoneKind.PHONE, "DDI": PhoneKind.DIRECT, "MOBILE": PhoneKind.MOBILE}
_BALANCE_LIMIT = Decimal(10) ** 14


def add_contact(page: ChangePage, contact: schemas.Contact) -> datetime | None:
    """Add a contact. One that asked for erasure (GDPRREQUEST) loses its addresses, so that it cannot be emailed."""
    updated_at = parse_instant("UpdatedDateUTC", contact.updated)
    erasure_requested = contact.status == "GDPRREQUEST"
    country, region = _country_and_region(contact.addresses or [])
    page.customers.append(
        CustomerRecord(
            contact.id,
            contact.name or "",
            " ".join(part for part in (contact.first, contact.last) if part),
            "" if erasure_requested else _emails(contact).joined,
            country,
            region,
            "",
            contact.status in {None, "ACTIVE"},
            contact.merged_into or None,
            updated_at,
            "\n".join(group.name for group in contact.groups or ()),
            balance=_balance(contact),
            balance_is_tracked=False,
            phones="" if erasure_requested else _phones(contact),
            contacts="" if erasure_requested else _persons(contact),
        )
    )
    return updated_at


def _balance(contact: schemas.Contact) -> Decimal | None:
    """Return what the contact owes according to Xero; an amount that cannot be stored is left out."""
    receivable = contact.balances.receivable if contact.balances else None
    amount = receivable.outstanding if receivable else None
    if amount is None or not amount.is_finite() or abs(amount) >= _BALANCE_LIMIT:
        return None
    return amount.quantize(_STORED)


def _emails(contact: schemas.Contact) -> ParsedAddresses:
    """Return the main address and those of the contact persons to include."""
    return parse_fields([contact.email, *(person.email for person in contact.persons or () if person.included)])


def _phones(contact: schemas.Contact) -> str:
    """Return the telephone numbers; a fax is none."""
    phones = [each for each in contact.phones or () if each.type in _PHONE_KINDS and each.number]
    return join_phones((_PHONE_KINDS[each.type or ""], _format_phone(each)) for each in phones)


def _format_phone(phone: schemas.Phone) -> str:
    """Return a number with its area and country code, which are fields of their own."""
    country = (phone.country or "").strip()
    country = f"+{country.removeprefix('00')}" if country and not country.startswith("+") else country
    return " ".join(filter(None, (country, (phone.area or "").strip(), phone.number)))


def _persons(contact: schemas.Contact) -> str:
    """Return the contact persons, whether they get emails or not."""
    persons = [
        (" ".join(filter(None, (person.first, person.last))), (person.email or "").strip())
        for person in contact.persons or ()
    ]
    lines = (f"{name} <{email}>" if name and email else name or email for name, email in persons)
    return "\n".join(" ".join(line.split())[:_PERSON_LENGTH_MAX] for line in lines if line)


def _country_and_region(addresses: list[schemas.Address]) -> tuple[str, str]:
    """Return country code and region of the billing address, else of the street address."""
    for address in sorted(addresses, key=lambda one: one.type != "POBOX"):
        if address.country:
            return country_code(address.country), address.region or ""
    return "", ""
