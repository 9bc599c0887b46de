"""The language a customer is written to in, and the language of a company's own staff."""

from __future__ import annotations

from typing import Any, cast

from sqlmodel import Session

from connector import policy_store
from connector.db.tables import Connection, CustomerRow, CustomerSetting
from connector.sync.mirror.facts import build_company, build_customer
from providers.geo import language_in


def customer_language(connection: Connection, customer: CustomerRow, setting: CustomerSetting | None) -> str:
    """Return the tag of a customer's language; "" where nobody has set it and their country has several."""
    # The facts are built from the rows of a query, which have the same fields as the tables.
    row, own = cast("Any", customer), cast("Any", setting)
    return build_customer(customer.external_id, row, own, None, (), build_company(connection)).language


def company_language(session: Session, connection: Connection) -> str:
    """Return the tag of the staff's language: the one in the policy, else that of the company's country."""
    policy, _version = policy_store.get_policy(session, connection.id)
    return policy.digest_language or language_in(connection.country)
