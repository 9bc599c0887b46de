"""A company's brand as the pages, the commands and the API see it, and an example email that shows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlmodel import Session

from connector.app_context import AppContext
from connector.branding import brand as brands
from connector.branding.brand import Brand, BrandChange
from connector.db.engine import writing
from connector.db.tables import Brand as BrandRow
from connector.db.tables import Connection
from connector.emails import recipient_language
from connector.emails.outbound import email_templates, render
from connector.emails.outbound.facts_builder import with_brand
from connector.errors import NotPossible
from connector.results import Result, optional
from policies.receivables import Step
from providers.mailer import Email


class BrandItem(Result):
    """A company's brand; of the pictures the size in pixels, "" where there is none."""

    connection: str
    accent_colour: str
    logo: str = ""
    signer_name: str = ""
    portrait: str = ""
    signature: str = ""
    legal_footer: str = ""
    links: list[str] = optional([])
    set_by: str = optional("")
    set_at: datetime | None = optional()


def load_item(session: Session, connection: Connection) -> BrandItem:
    """Return a company's brand."""
    brand, row = brands.load_brand(session, connection.id or 0), session.get(BrandRow, connection.id)
    return BrandItem(
        connection=connection.name,
        accent_colour=brand.accent_colour,
        logo=f"{brand.logo.width} × {brand.logo.height}" if brand.logo else "",
        signer_name=brand.signer_name,
        portrait=f"{brand.portrait.width} × {brand.portrait.height}" if brand.portrait else "",
        signature=brand.signature,
        legal_footer=brand.legal_footer,
        links=brand.texts()["links"].splitlines(),
        set_by=row.set_by if row else "",
        set_at=row.set_at if row else None,
    )


def set_brand(
    app: AppContext, connection_id: int, change: BrandChange, *, by: str, version: str | None = None
) -> BrandItem:
    """Change a company's brand. Raises ``BrandError``; ``NotPossible`` where it is no longer the ``version`` read."""
    with writing(app.engine) as session:
        connection = session.get_one(Connection, connection_id)
        if version is not None and version != brands.brand_version(session, connection_id):
            row = session.get(BrandRow, connection_id)
            by_whom = row.set_by if row is not None else "Somebody"
            text = f"{by_whom} changed the brand after you opened this page. Look at it, and enter yours again."
            raise NotPossible(text)
        brands.save_brand(session, connection, change, by=by, at=app.now())
        session.flush()
        return load_item(session, connection)


def example_email(app: AppContext, session: Session, connection: Connection, brand: Brand) -> Email:
    """Return an email about invented invoices as this brand makes it look, in the company's language."""
    facts = replace(
        email_templates.example_facts(Step.PAST_DUE, 2),
        company_name=connection.name,
        sender_name=app.settings.mail_from_name or connection.name,
        currency=connection.base_currency or "EUR",
        language=recipient_language.company_language(session, connection),
        portal_link="https://portal.example/",
        stop_link="https://portal.example/stop",
    )
    linked = [replace(line, id=line.number, pay_link="https://pay.example/") for line in facts.invoices]
    return render.compose_email(with_brand(replace(facts, invoices=linked), brand, ""))
