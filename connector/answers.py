"""Keeps the answer that each invoice got last and since when it stands; every new one is a line of the log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import delete, or_, select
from sqlmodel import Session, col

from connector.hour import Hour
from connector.people import recorded
from connector.tables import AnswerRow
from policies.decisions import Answer, AnswerKind

Given = Sequence[tuple[str, Answer]]  # with the customer's id
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
    for customer_id, answer in given:
        row = known.pop(answer.invoice_id, None)
        if row is not None and recorded.told(row) == recorded.told(answer):
            if row.why != answer.why:
                row.why = answer.why  # the same answer in today's words ("6 days late"): no news for the log
            continue
        _keep_new(hour, session, customer_id, answer, row, followed.get(customer_id, (otherwise, "")))
    if known:
        here = col(AnswerRow.connection_id) == hour.connection_id
        session.execute(delete(AnswerRow).where(here, col(AnswerRow.invoice_id).in_(list(known))))


def odd(invoice_id: str, error: Exception) -> Answer:
    """Answer that no decision could be made."""
    why = f"No decision could be made ({type(error).__name__}). Nothing is sent; please report this."
    return Answer(invoice_id, AnswerKind.HOLD, "odd", why)


def refused(answer: Answer, why: str) -> Answer:
    """Answer that what was decided was refused before."""
    words = f"Nothing is sent: {why}."
    return Answer(answer.invoice_id, AnswerKind.HOLD, "refused", words, answer.next_step, answer.next_on)


def _known(hour: Hour, session: Session, given: Given, customer_ids: Collection[str] | None) -> dict[str, AnswerRow]:
    query = select(AnswerRow).where(col(AnswerRow.connection_id) == hour.connection_id)
    if customer_ids is not None:
        ours = [answer.invoice_id for _customer, answer in given]  # some were another customer's until now
        query = query.where(
            or_(col(AnswerRow.customer_id).in_(list(customer_ids)), col(AnswerRow.invoice_id).in_(ours))
        )
    return {row.invoice_id: row for row in session.scalars(query)}


def _keep_new(
    hour: Hour, session: Session, customer_id: str, answer: Answer, row: AnswerRow | None, followed: Followed
) -> None:
    version, policy_name = followed
    kind, code, at = answer.kind.value, answer.code, hour.now()
    if row is None:
        row = AnswerRow(
            connection_id=hour.connection_id,
            invoice_id=answer.invoice_id,
            customer_id=customer_id,
            kind=kind,
            code=code,
            run_id=hour.run_id,
            since_at=at,
        )
        session.add(row)
    row.customer_id, row.run_id, row.since_at = customer_id, hour.run_id, at
    row.kind, row.code, row.why, row.policy_version = kind, code, answer.why, version
    row.next_step, row.next_on = answer.next_step, answer.next_on
    facts = {"kind": kind, "code": code, "policy": version} | ({"policy_name": policy_name} if policy_name else {})
    about = {"customer_id": customer_id, "invoice_id": answer.invoice_id}
    hour.log(session, "decided", answer.why, **about, facts=facts)
