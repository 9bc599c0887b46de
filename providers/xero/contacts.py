"""Xero's contacts as our customers: every address a mail may go to, and the country as a code."""

from __future__ import annotations

import re
from datetime import datetime

from providers.ledger import ChangePage, CustomerRecord
from providers.xero import schemas
from providers.xero.geo_codes import country_code
from providers.xero.values import parse_instant


def add_contact(page: ChangePage, contact: schemas.Contact) -> datetime | None:
    """Add a contact. Who asked to be forgotten (GDPRREQUEST) has no address here, so that no mail can go out."""
    updated_at = parse_instant("UpdatedDateUTC", contact.updated)
    forgotten = contact.status == "GDPRREQUEST"
    country, region = _country_and_region(contact.addresses or [])
    page.customers.append(
        CustomerRecord(
            contact.id,
            contact.name or "",
            " ".join(part for part in (contact.first, contact.last) if part),
            "" if forgotten else ",".join(_emails(contact)),
            country,
            region,
            "",
            contact.status in {None, "ACTIVE"},
            contact.merged_into or None,
            updated_at,
            "\n".join(group.name for group in contact.groups or ()),
        )
    )
    return updated_at


def _emails(contact: schemas.Contact) -> list[str]:
    """The main address and those of the persons who are to be included, each once; one field may hold several."""
    fields = [contact.email, *(person.email for person in contact.persons or () if person.included)]
    once: dict[str, str] = {}
    for text in fields:
        for address in re.split(r"[\s,;]+", text or ""):
            if address:
                once.setdefault(address.lower(), address)
    return list(once.values())


def _country_and_region(addresses: list[schemas.Address]) -> tuple[str, str]:
    """Country and region of the billing address, else of the street's."""
    for address in sorted(addresses, key=lambda one: one.type != "POBOX"):
        if address.country:
            return country_code(address.country), address.region or ""
    return "", ""
