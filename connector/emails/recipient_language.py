"""In which language a customer is written to, and in which the people of a company."""

from __future__ import annotations

from typing import Any, cast

from sqlmodel import Session

from connector import policy_store
from connector.db.tables import Connection, CustomerRow, CustomerSetting
from connector.sync.mirror.facts import build_company, build_customer
from providers.geo import language_in


def customer_language(connection: Connection, customer: CustomerRow, setting: CustomerSetting | None) -> str:
    """Tell the tag of a customer's language; "" where nobody said it and in his country several are read."""
    row, said = cast("Any", customer), cast("Any", setting)  # the facts want rows of a query, which have the same names
    return build_customer(customer.external_id, row, said, None, (), build_company(connection)).language


def company_language(session: Session, connection: Connection) -> str:
    """Tell the tag of the language of a company's own people: as its policy says, else that of its country."""
    policy, _version = policy_store.get_policy(session, connection.id)
    return policy.digest_language or language_in(connection.country)
