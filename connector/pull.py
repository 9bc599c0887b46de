"""Reads the books: pages of changes into the mirror, each page and its cursor in one commit."""

from __future__ import annotations

from sqlmodel import Session

from connector import announcements, reconcile
from connector.hour import Hour
from connector.mirror import merges
from connector.mirror.pages import store_page
from connector.tables import Connection
from providers.ledger import LedgerFacts, Page

_RECORDS = ("customers", "invoices", "payments", "credits", "deleted", "malformed")


def read_the_books(hour: Hour) -> None:
    """Pull every change since the cursor. A page that fails leaves what came before; the next run resumes after it.

    Once a night everything open is compared. Where a webhook tells of every change and told of none, nothing is read.
    """
    with hour.reading() as session:
        connection = hour.connection(session)
        cursor, known = connection.cursor or None, connection.facts_read_at is not None
        night = reconcile.is_due(connection, hour.started_at) and not hour.dry_run
        rests = not night and announcements.nothing_to_read(hour, connection, session)
        proof = announcements.Proof(hour, session, connection)
    if rests:
        _rest(hour)
        return
    if not known:
        hour.tell("reading the organisation")
        read_facts(hour)
    hour.tell("reading the books")
    for page in hour.ledger.changes(cursor, hour.started_at):
        _store(hour, page, proof)
        if hour.progress:
            hour.progress(hour.tally["records"], page.expected)
    if night:
        reconcile.compare_all(hour)


def read_facts(hour: Hour) -> None:
    """Read the organisation's own facts: currency, time zone, lock date, whether it mails reminders by itself."""
    facts = hour.ledger.facts()
    with hour.writing() as session:
        connection = hour.connection(session)
        changed = _take_over(connection, facts)
        connection.facts_read_at = hour.now()
        if changed:
            connection.mirror_version += 1
            hour.log(session, "organisation", f"{facts.company.name}: {', '.join(changed)}.")
        for warning in facts.warnings:
            hour.log(session, "warning", warning)


def look_again(hour: Hour, page: Page) -> None:
    """Store what was re-read just before acting; the pull's cursor stays where it is."""
    page.last = False  # of a pull it is not the last page: what it does not bring is not gone
    with hour.writing() as session:
        counts = store_page(session, hour.connection_id, page, at=hour.now())
        merges.follow_invoices(session, hour.connection_id, [each.external_id for each in page.invoices])
        if counts.changed:
            hour.connection(session).mirror_version += 1
        _log_malformed(hour, session, page)


def _rest(hour: Hour) -> None:
    """Note that the mirror is as the books are, without a call."""
    with hour.writing() as session:
        hour.connection(session).pulled_at = hour.started_at
        hour.tally["rested"] = 1
        hour.log(session, "pulled", "No change was announced, so the books were not read.")


def _store(hour: Hour, page: Page, proof: announcements.Proof) -> None:
    proof.see(page)
    if not (page.last or page.afresh or any(getattr(page, name) for name in _RECORDS)):
        return  # nothing to keep, and the next page's cursor covers it
    with hour.writing(durable=False) as session:  # what a power cut undoes is read again: its cursor goes with it
        connection = hour.connection(session)
        counts = store_page(session, hour.connection_id, page, at=hour.now())
        merges.follow_invoices(session, hour.connection_id, [each.external_id for each in page.invoices])
        connection.cursor = page.cursor
        if counts.changed:
            connection.mirror_version += 1
        if page.last:
            proof.conclude(hour, session, connection)
            connection.pulled_at = connection.read_at = hour.started_at
            if connection.first_pull_done_at is None:
                connection.reconciled_at = hour.started_at  # everything was just read
            connection.first_pull_done_at = connection.first_pull_done_at or hour.now()
        _log_malformed(hour, session, page)
        for name in _RECORDS:
            hour.tally[name] += len(getattr(page, name))
            hour.tally["records"] += len(getattr(page, name))
        hour.tally["changed"] += counts.changed
        if page.last:
            read = {name: hour.tally[name] for name in (*_RECORDS, "changed")}
            hour.log(session, "pulled", _sentence(read), facts=read)


def _log_malformed(hour: Hour, session: Session, page: Page) -> None:
    for record in page.malformed:
        text = f"A {record.kind} could not be read and is left aside: {record.why}"
        hour.log(session, "malformed", text, facts={"id": record.external_id})


def _take_over(connection: Connection, facts: LedgerFacts) -> list[str]:
    company = facts.company
    new = {
        "base_currency": company.base_currency,
        "country": company.country,
        "time_zone": company.time_zone,
        "lock_on": company.lock_on,
        "own_reminders": company.own_reminders,
        "plan": facts.plan,
    }
    changed = [f"{name.replace('_', ' ')} {value}" for name, value in new.items() if getattr(connection, name) != value]
    for name, value in new.items():
        setattr(connection, name, value)
    return changed


def _sentence(read: dict[str, int]) -> str:
    parts = [
        f"{read[name]} {name.removesuffix('s') if read[name] == 1 else name}" for name in _RECORDS if read.get(name)
    ]
    if not parts:
        return "Read the books: nothing has changed."
    return f"Read {', '.join(parts)}" + (": new or changed." if read["changed"] else ": all of it was known already.")
