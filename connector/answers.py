"""Keeps the answer that each invoice got last and since when it stands; every new one is a line of the log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select, update
from sqlmodel import Session, col

from connector import sync_log
from connector.hour import Hour
from connector.people import recorded
from connector.tables import AnswerRow
from policies.decisions import Answer, AnswerKind

Given = Sequence[tuple[str, Answer]]  # with the customer's id
Values = dict[str, Any]
Followed = tuple[int | None, str]  # the version and the name of the policy that an answer comes from


def keep(
    hour: Hour,
    session: Session,
    given: Given,
    followed: Mapping[str, Followed],
    customer_ids: Collection[str] | None,
    *,
    otherwise: int | None,
) -> None:
    """Keep the answers given about some customers, or with ``None`` about all; what nobody answers any more goes.

    ``followed`` names each customer's policy; whoever it does not name got the version ``otherwise``.
    """
    known = _known(hour, session, given, customer_ids)
    fresh: list[Values] = []
    moved: list[Values] = []
    reworded: list[Values] = []
    lines: list[sync_log.Line] = []
    for customer_id, answer in given:
        row = known.pop(answer.invoice_id, None)
        if row is not None and recorded.told(row) == recorded.told(answer):
            if row.why != answer.why:  # the same answer in today's words ("6 days late"): no news for the log
                reworded.append({**_key(hour, answer), "why": answer.why})
            continue
        version, name = followed.get(customer_id, (otherwise, ""))
        (fresh if row is None else moved).append(_new(hour, customer_id, answer, version))
        facts = {"kind": answer.kind.value, "code": answer.code, "policy": version}
        facts |= {"policy_name": name} if name else {}
        lines.append(sync_log.Line("decided", answer.why, customer_id, answer.invoice_id, facts))
    _store(session, fresh, moved, reworded)
    hour.log_all(session, lines)
    if known:
        here = col(AnswerRow.connection_id) == hour.connection_id
        session.execute(delete(AnswerRow).where(here, col(AnswerRow.invoice_id).in_(list(known))))


def _store(session: Session, fresh: list[Values], moved: list[Values], reworded: list[Values]) -> None:
    """Store rows by columns: a first decision makes one for each invoice, and objects would cost most of its time."""
    if fresh:
        session.execute(insert(AnswerRow), fresh)
    for changed in (moved, reworded):
        if changed:
            session.execute(update(AnswerRow), changed)  # by their primary keys


def odd(invoice_id: str, error: Exception) -> Answer:
    """Answer that no decision could be made."""
    why = f"No decision could be made ({type(error).__name__}). Nothing is sent; please report this."
    return Answer(invoice_id, AnswerKind.HOLD, "odd", why)


def refused(answer: Answer, why: str) -> Answer:
    """Answer that what was decided was refused before."""
    words = f"Nothing is sent: {why}."
    return Answer(answer.invoice_id, AnswerKind.HOLD, "refused", words, answer.next_step, answer.next_on)


def _known(
    hour: Hour, session: Session, given: Given, customer_ids: Collection[str] | None
) -> dict[str, Row[tuple[str, str, str, str | None, date | None, str]]]:
    columns = (AnswerRow.invoice_id, AnswerRow.kind, AnswerRow.code, AnswerRow.next_step, AnswerRow.next_on)
    query = select(*map(col, columns), col(AnswerRow.why)).where(col(AnswerRow.connection_id) == hour.connection_id)
    if customer_ids is not None:
        ours = [answer.invoice_id for _customer, answer in given]  # some were another customer's until now
        query = query.where(
            or_(col(AnswerRow.customer_id).in_(list(customer_ids)), col(AnswerRow.invoice_id).in_(ours))
        )
    return {row.invoice_id: row for row in session.execute(query)}


def _key(hour: Hour, answer: Answer) -> Values:
    return {"connection_id": hour.connection_id, "invoice_id": answer.invoice_id}


def _new(hour: Hour, customer_id: str, answer: Answer, version: int | None) -> Values:
    return {
        **_key(hour, answer),
        "customer_id": customer_id,
        "kind": answer.kind.value,
        "code": answer.code,
        "why": answer.why,
        "next_step": answer.next_step,
        "next_on": answer.next_on,
        "policy_version": version,
        "run_id": hour.run_id,
        "since_at": hour.now(),
    }
