"""Lets a change happen once, however often it is asked for: what it brought is kept for a day under the asker's key."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col
from starlette.responses import Response

from connector.access.api_tokens import Program
from connector.database import writing
from connector.installation import Installation
from connector.tables import ApiRequest
from connector.web.api import problems
from connector.web.api.problems import Refused

KEPT = timedelta(hours=24)
_KEY_MAX = 200
_UNDER_WAY_WORDS = "The same request is under way."
_UNDER_WAY = timedelta(minutes=2)  # older ones were killed: what they asked for is safe to ask for again


def begin(installation: Installation, program: Program, key: str, fingerprint: str) -> Response | None:
    """Note a change before it is made; gives the reply of before where it was made already."""
    if len(key) > _KEY_MAX:
        raise Refused(problems.NOT_VALID, f"Idempotency-Key is longer than {_KEY_MAX} characters.")
    try:
        return _begin(installation, program, key, fingerprint)
    except IntegrityError:  # on PostgreSQL two may begin at once: the second was not first
        raise Refused(problems.CONFLICT, _UNDER_WAY_WORDS, headers={"Retry-After": "2"}) from None


def _begin(installation: Installation, program: Program, key: str, fingerprint: str) -> Response | None:
    now = installation.now()
    with writing(installation.engine) as session:
        session.execute(delete(ApiRequest).where(col(ApiRequest.begun_at) < now - KEPT))
        known = session.get(ApiRequest, (program.id, key))
        if known is None or (not known.status and now - known.begun_at > _UNDER_WAY):
            session.merge(ApiRequest(token_id=program.id, key=key, fingerprint=fingerprint, begun_at=now))
            return None
        if known.fingerprint != fingerprint:
            raise Refused(problems.NOT_VALID, "This Idempotency-Key was used for another request.")
        if not known.status:
            raise Refused(problems.CONFLICT, _UNDER_WAY_WORDS, headers={"Retry-After": "2"})
        return Response(known.reply, known.status, {"Idempotent-Replayed": "true"}, "application/json")


def keep(installation: Installation, program: Program, key: str, reply: Response) -> None:
    """Keep what a change brought; what was refused is forgotten, and may be asked for again."""
    if reply.status_code >= 400:
        forget(installation, program, key)
        return
    with writing(installation.engine) as session:
        _row(session, program, key, status=reply.status_code, reply=bytes(reply.body).decode())


def forget(installation: Installation, program: Program, key: str) -> None:
    """Forget a change that was not made."""
    with writing(installation.engine) as session:
        session.execute(delete(ApiRequest).where(col(ApiRequest.token_id) == program.id, col(ApiRequest.key) == key))


def _row(session: Session, program: Program, key: str, **values: object) -> None:
    here = (col(ApiRequest.token_id) == program.id, col(ApiRequest.key) == key)
    session.execute(update(ApiRequest).where(*here).values(**values))
