"""Tells the addresses what happened: from the log into a table, from the table to them, again and again until taken.

It runs beside the hour and never within it. An event may come twice (then with the same id), never not at all: a try
is marked before it is made, and one that was cut off is made again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, select, update
from sqlmodel import Session, col

from connector import sync_log
from connector.access.keyring import KeyringError
from connector.database import reading, writing
from connector.installation import Installation
from connector.outgoing.endpoints import bound_to
from connector.outgoing.events import KINDS, body_of, event_of, is_for, message_id
from connector.outgoing.post import Answer, BadAddressError, Reach, post
from connector.tables import Connection, SyncLogEntry, WebhookDelivery, WebhookEndpoint

# As Standard Webhooks proposes: about three days in all.
WAITS = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))
_CUT_OFF = timedelta(minutes=2)  # longer than any try takes
_KEPT = timedelta(days=30)
_LINES, _TRIES, _MISSES = 500, 50, 3  # at a time, of one address
_GONE = 410
Send = Callable[[str, bytes, Mapping[str, str], Reach], Answer]


class _Letter(NamedTuple):
    url: str
    body: bytes
    headers: dict[str, str]


def work(installation: Installation, *, send: Send = post) -> int:
    """Do what is to be done now, and tell how much was taken."""
    if installation.settings.duewell_webhooks == "off":
        return 0
    with reading(installation.engine) as session:
        newest = session.scalar(select(func.max(SyncLogEntry.id))) or 0
        rows = list(session.scalars(select(WebhookEndpoint).where(col(WebhookEndpoint.stopped_why) == "")))
    for row in rows:
        if row.told_to < newest:
            _note(installation, row.id or 0)
    return sum(_tell(installation, row.id or 0, send) for row in rows)


def _note(installation: Installation, endpoint_id: int) -> None:
    """Put what happened since into the table, and remember how far that is, in one commit."""
    now = installation.now()
    with writing(installation.engine) as session:
        endpoint = session.get(WebhookEndpoint, endpoint_id)
        if endpoint is None:
            return
        query = select(SyncLogEntry).where(col(SyncLogEntry.id) > endpoint.told_to).order_by(col(SyncLogEntry.id))
        for line in session.scalars(query.limit(_LINES)):
            endpoint.told_to = line.id or 0
            event = event_of(line) if line.kind in KINDS else ""
            if is_for(endpoint, line, event):
                session.add(
                    WebhookDelivery(
                        endpoint_id=endpoint_id, line_id=line.id or 0, event=event, next_at=now, made_at=now
                    )
                )
        session.execute(delete(WebhookDelivery).where(col(WebhookDelivery.ended_at) < now - _KEPT))


def _tell(installation: Installation, endpoint_id: int, send: Send) -> int:
    """Send what is due, oldest first; an address that does not answer is not asked for long."""
    taken = missed = 0
    while taken < _TRIES and missed < _MISSES and not installation.stopping():
        delivery = _claim(installation, endpoint_id)
        if delivery is None:
            break
        if _try(installation, delivery, send):
            taken += 1
        else:
            missed += 1
    return taken


def _claim(installation: Installation, endpoint_id: int) -> WebhookDelivery | None:
    """Mark the next try before it is made: no other process makes it, and if this one dies it is made again."""
    now, here = installation.now(), WebhookDelivery
    due = (col(here.endpoint_id) == endpoint_id, col(here.state) == "waiting", col(here.next_at) <= now)
    with reading(installation.engine) as session:  # mostly there is nothing, and nothing to wait for
        row = session.scalars(select(here).where(*due).order_by(col(here.id)).limit(1)).first()
    if row is None:
        return None
    with writing(installation.engine) as session:
        marked = update(here).where(col(here.id) == row.id, col(here.attempts) == row.attempts)
        done = session.connection().execute(marked.values(attempts=row.attempts + 1, next_at=now + _CUT_OFF))
        return session.get_one(here, row.id) if done.rowcount == 1 else None


def _try(installation: Installation, delivery: WebhookDelivery, send: Send) -> bool:
    try:
        letter = _letter(installation, delivery)
        answer = send(letter.url, letter.body, letter.headers, installation.settings.duewell_webhooks)
    except (BadAddressError, KeyringError) as problem:
        answer = Answer(None, str(problem))
    good = answer.status is not None and 200 <= answer.status < 300
    with writing(installation.engine) as session:
        row = session.get(WebhookDelivery, delivery.id)
        if row is not None:  # else its address was removed meanwhile
            _record(session, row, answer, installation.now(), good=good)
    return good


def _record(session: Session, row: WebhookDelivery, answer: Answer, now: datetime, *, good: bool) -> None:
    row.status, row.why = answer.status, "" if good else answer.why
    if good:
        row.state, row.ended_at, row.next_at = "done", now, None
    elif answer.status == _GONE or row.attempts > len(WAITS):
        row.state, row.ended_at, row.next_at = "given_up", now, None
        endpoint = session.get_one(WebhookEndpoint, row.endpoint_id)
        endpoint.stopped_why = f"{row.attempts} tries came to nothing: {answer.why}"
        sync_log.write(session, at=now, kind="webhook_stopped", text=f"A webhook was given up: {endpoint.stopped_why}.")
    else:
        row.next_at = now + WAITS[row.attempts - 1]


def _took_anything_since(session: Session, row: WebhookDelivery) -> bool:
    here = WebhookDelivery
    query = select(col(here.id)).where(col(here.endpoint_id) == row.endpoint_id, col(here.state) == "done")
    return session.scalar(query.where(col(here.ended_at) >= row.made_at).limit(1)) is not None


def _stop(session: Session, endpoint_id: int, why: str, now: datetime) -> None:
    session.get_one(WebhookEndpoint, endpoint_id).stopped_why = f"It took nothing any more: {why}"
    text = f"The webhook {endpoint_id} is told nothing any more, until a person starts it again: {why}."
    sync_log.write(session, at=now, kind="webhook_stopped", text=text)


def _letter(installation: Installation, delivery: WebhookDelivery) -> _Letter:
    """Write what is sent, signed for this moment as Standard Webhooks says."""
    with reading(installation.engine) as session:
        endpoint = session.get_one(WebhookEndpoint, delivery.endpoint_id)
        line = session.get_one(SyncLogEntry, delivery.line_id)
        company = session.get(Connection, line.connection_id) if line.connection_id is not None else None
    secret = installation.keyring.decrypt(endpoint.secret, bound_to(endpoint))
    if installation.keyring.needs_rotation(endpoint.secret):
        with writing(installation.engine) as session:
            session.get_one(WebhookEndpoint, endpoint.id, with_for_update=True).secret = installation.keyring.encrypt(
                secret, bound_to(endpoint)
            )
    body, name = body_of(line, delivery.event, company), message_id(line)
    timestamp = str(int(installation.now().timestamp()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, name, timestamp, body),
    }
    return _Letter(endpoint.url, body, headers)


def signature(secret: bytes, name: str, timestamp: str, body: bytes) -> str:
    """Sign a message."""
    signed = hmac.digest(secret, f"{name}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"
