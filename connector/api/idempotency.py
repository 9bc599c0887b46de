"""Idempotency keys: a repeated request returns the response of the first one, which is kept for a day."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col
from starlette.responses import Response

from connector.api import problems
from connector.api.call import SecretResponse
from connector.api.problems import ApiError
from connector.app_context import AppContext
from connector.auth.api_tokens import ApiClient
from connector.db.engine import writing
from connector.db.tables import ApiRequest

KEEP_FOR = timedelta(hours=24)
_KEY_MAX = 200
IN_PROGRESS_MESSAGE = "The same request is still in progress."
IN_PROGRESS_MAX = timedelta(minutes=2)  # an older one was killed; requesting the change again is safe


def begin(app: AppContext, client: ApiClient, key: str, fingerprint: str) -> Response | None:
    """Record a request before it is carried out; return the earlier response if it was carried out before."""
    if len(key) > _KEY_MAX:
        raise ApiError(problems.INVALID, f"Idempotency-Key is longer than {_KEY_MAX} characters.")
    try:
        return _begin(app, client, key, fingerprint)
    except IntegrityError:  # on PostgreSQL two can begin at the same time
        raise ApiError(problems.CONFLICT, IN_PROGRESS_MESSAGE, headers={"Retry-After": "2"}) from None


def _begin(app: AppContext, client: ApiClient, key: str, fingerprint: str) -> Response | None:
    now = app.now()
    with writing(app.engine) as session:
        session.execute(delete(ApiRequest).where(col(ApiRequest.started_at) < now - KEEP_FOR))
        known = session.get(ApiRequest, (client.id, key))
        if known is None or (not known.status and now - known.started_at > IN_PROGRESS_MAX):
            session.merge(ApiRequest(token_id=client.id, key=key, fingerprint=fingerprint, started_at=now))
            return None
        if known.fingerprint != fingerprint:
            raise ApiError(problems.INVALID, "This Idempotency-Key was already used for a different request.")
        if not known.status:
            raise ApiError(problems.CONFLICT, IN_PROGRESS_MESSAGE, headers={"Retry-After": "2"})
        return Response(known.response, known.status, {"Idempotent-Replayed": "true"}, "application/json")


def store_response(app: AppContext, client: ApiClient, key: str, response: Response) -> None:
    """Store the response to a change; a rejected request is discarded, so that it can be sent again.

    So is one whose response holds a secret: the request gives the same again.
    """
    if response.status_code >= 400 or isinstance(response, SecretResponse):
        discard(app, client, key)
        return
    with writing(app.engine) as session:
        _update_request(session, client, key, status=response.status_code, response=bytes(response.body).decode())


def discard(app: AppContext, client: ApiClient, key: str) -> None:
    """Discard a request that was not carried out."""
    with writing(app.engine) as session:
        session.execute(delete(ApiRequest).where(col(ApiRequest.token_id) == client.id, col(ApiRequest.key) == key))


def _update_request(session: Session, client: ApiClient, key: str, **values: object) -> None:
    here = (col(ApiRequest.token_id) == client.id, col(ApiRequest.key) == key)
    session.execute(update(ApiRequest).where(*here).values(**values))
