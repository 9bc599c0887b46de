"""Connecting by OAuth: send the user to the provider's consent page, and store the resulting companies or mailbox.

The ``state`` is stored as a hash only and is valid for 15 minutes and one use; the PKCE verifier is stored encrypted.
The terminal, ``serve`` and a pasted address all use these functions.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import delete, select
from sqlmodel import Session, col

from connector.app_context import AppContext, MailboxSystem, Provider, UncountedCalls
from connector.audit import sync_log
from connector.connections.mailboxes import end_replaced_access, save_mailbox
from connector.connections.short_names import build_short_name
from connector.connections.tokens import store_token
from connector.db.engine import reading, writing
from connector.db.tables import Connection, Grant, PendingConsent
from connector.guides import guide
from connector.vocabulary import ConnectionHealth, LogKind
from connector.vocabulary.labels import in_sentence, label
from providers.errors import ProviderError
from providers.ledger import CompanyRef, Consent
from providers.mailbox import MailboxConsent, MailboxProvider
from providers.sign_in import ConsentRequest, JsonObject

LIFETIME = timedelta(minutes=15)
System = Provider | MailboxSystem
_KEEP_FOR = timedelta(days=1)


class ConsentError(Exception):
    """A consent failed; ``str()`` says why and what to do."""


def redirect_uri(app: AppContext, provider_name: str) -> str:
    """Return the redirect URI; it must be registered with the provider's app, letter for letter."""
    return f"{app.settings.duewell_base_url}/callback/{provider_name}"


def find_provider(app: AppContext, name: str) -> System:
    """Return an accounting system or a mailbox's system by name, or raise an error that lists the available ones."""
    provider = app.find_system(name)
    if provider is None:
        available = ", ".join([*sorted(app.providers), *app.mailboxes])
        message = f"There is nothing to connect that is called {name!r}. Available: {available}."
        raise ConsentError(message)
    return provider


def begin_consent(app: AppContext, provider_name: str, *, session_hash: str = "") -> ConsentRequest:
    """Start a consent: store what is needed to finish it, and return where to send the user.

    ``session_hash`` identifies the browser session that starts it, and no other one can finish it; "" at a terminal.
    """
    provider = find_provider(app, provider_name)
    _refuse_if_missing(provider, app)
    back_to = redirect_uri(app, provider_name)
    request = provider.begin_consent(app.settings, back_to)
    hashed, now = _hash(request.state), app.now()
    kept = json.dumps({"url": request.url, "state": request.state, "verifier": request.code_verifier}).encode()
    with writing(app.engine) as session:
        session.execute(delete(PendingConsent).where(col(PendingConsent.started_at) < now - _KEEP_FOR))
        session.add(
            PendingConsent(
                state_hash=hashed,
                provider=provider_name,
                redirect_uri=back_to,
                encrypted_state=app.keyring.encrypt(kept, consent_associated_data(hashed, provider_name)),
                session_hash=session_hash,
                started_at=now,
            )
        )
    return request


def consent_outcome(app: AppContext, state: str) -> JsonObject | None:
    """Return the outcome of a consent, None while it is pending.

    It is {"connections": [ids]}, {"connections": [], "mailbox": address} or {"error": message}; with "notes", sentences
    for the user, where another mailbox was replaced.
    """
    with reading(app.engine) as session:
        pending = session.get(PendingConsent, _hash(state))
    return pending.outcome if pending else None


def finish_consent(
    app: AppContext, provider_name: str, redirected_url: str, *, session_hash: str = ""
) -> list[Connection]:
    """Finish the consent that the user was redirected from; that of a mailbox connects no company.

    Raises:
        ConsentError: it failed or was denied; the message is for page and terminal.

    """
    provider = find_provider(app, provider_name)
    answer = parse_qs(urlsplit(redirected_url.strip()).query)
    begun, back_to = _consume(app, provider, (answer.get("state") or [""])[0], session_hash)
    try:
        _refuse_if_denied(provider, (answer.get("error") or [""])[0])
        consent = provider.finish_consent(
            app.settings, back_to, redirected_url.strip(), begun, app.stop_aware(UncountedCalls())
        )
        if isinstance(consent, Consent) and not consent.companies:
            message = f"You did not choose a company at {provider.title}. {_retry_hint(provider)}"
            raise ConsentError(message)
    except (ProviderError, ConsentError) as problem:
        reason = str(problem)
        if isinstance(problem, ProviderError):
            reason = f"{provider.title} could not be connected: {reason.rstrip('.')}. {_retry_hint(provider)}"
        _record_outcome(app, begun.state, {"error": reason})
        raise ConsentError(reason) from problem
    notes = []
    if isinstance(consent, MailboxConsent):
        notes = end_replaced_access(app, app.mailboxes[provider.name], consent)
    return _store_consent(app, provider, consent, begun.state, notes)


def _refuse_if_missing(provider: System, app: AppContext) -> None:
    missing = provider.missing_settings(app.settings)
    if missing:
        message = (
            f"{provider.title} cannot be connected yet. Set {', '.join(missing)} in the environment or in"
            f" {app.settings.duewell_home / '.env'}; {guide(f'connect-{provider.name}.md')} explains where to find"
            " what is missing."
        )
        raise ConsentError(message)


def _refuse_if_denied(provider: System, error: str) -> None:
    if error == "access_denied":
        message = f"Access was not granted at {provider.title}, so nothing was connected. {_retry_hint(provider)}"
        raise ConsentError(message)
    if error:
        code = "".join(letter for letter in error[:60] if letter.isalnum() or letter in "_-. ")
        message = f"{provider.title} did not grant access: {code!r}. {_retry_hint(provider)}"
        raise ConsentError(message)


def _consume(app: AppContext, provider: System, state: str, session_hash: str) -> tuple[ConsentRequest, str]:
    """Return the pending consent, and mark it as used."""
    now, hashed = app.now(), _hash(state)
    with writing(app.engine) as session:
        pending = session.get(PendingConsent, hashed, with_for_update=True) if state else None
        if pending is None or pending.provider != provider.name:
            message = (
                f"This address does not belong to a {provider.title} consent that was started here: its state is"
                f" {'unknown' if state else 'missing'}. {_retry_hint(provider)}"
            )
            raise ConsentError(message)
        if pending.session_hash and not hmac.compare_digest(pending.session_hash, session_hash):
            message = (
                f"This consent was started in another browser, or you have signed out since. {_retry_hint(provider)}"
            )
            raise ConsentError(message)
        if pending.finished_at is not None:
            message = (
                f"This consent has already been used. If the company is connected, all is well. {_retry_hint(provider)}"
            )
            raise ConsentError(message)
        pending.finished_at = now
        expired = now - pending.started_at > LIFETIME
        if expired:
            message = f"This consent has expired after 15 minutes. {_retry_hint(provider)}"
            pending.outcome = {"error": message}
        kept = json.loads(app.keyring.decrypt(pending.encrypted_state, consent_associated_data(hashed, provider.name)))
        pending.encrypted_state = b""
        back_to = pending.redirect_uri
    if expired:
        raise ConsentError(message)
    return ConsentRequest(kept["url"], kept["state"], kept["verifier"]), back_to


def _store_consent(
    app: AppContext, provider: System, consent: Consent | MailboxConsent, state: str, notes: list[str]
) -> list[Connection]:
    """Store the token and its companies in one commit; a known company gets the new grant and no duplicate."""
    now = app.now()
    with writing(app.engine) as session:
        grant = _find_or_create_grant(session, provider, consent, now)
        store_token(app, grant, consent.token, now)
        if isinstance(consent, MailboxConsent):
            mailbox = save_mailbox(app, session, app.mailboxes[provider.name], consent, grant, notes)
            outcome: JsonObject = {"connections": [], "mailbox": mailbox.address}
            _set_outcome(session, state, outcome | ({"notes": notes} if notes else {}))
            return []
        rows = [_create_or_update_connection(session, provider, company, grant, now) for company in consent.companies]
        _delete_unused_grants(session, provider)
        _set_outcome(session, state, {"connections": [row.id for row in rows]})
    return rows


def _find_or_create_grant(
    session: Session, provider: System, consent: Consent | MailboxConsent, now: datetime
) -> Grant:
    query = select(Grant).where(col(Grant.provider) == provider.name, col(Grant.subject) == consent.subject)
    grant = session.scalars(query).first()
    if grant is None:
        grant = Grant(provider=provider.name, subject=consent.subject, created_at=now)
        session.add(grant)
        session.flush()  # the token is bound to the grant's id
    return grant


def _create_or_update_connection(
    session: Session, provider: System, company: CompanyRef, grant: Grant, now: datetime
) -> Connection:
    query = select(Connection).where(
        col(Connection.provider) == provider.name, col(Connection.external_id) == company.external_id
    )
    row = session.scalars(query).first()
    again = row is not None
    if row is None:
        taken = set(session.scalars(select(col(Connection.short_name))))
        row = Connection(
            short_name=build_short_name(company.name or company.external_id, taken),
            provider=provider.name,
            external_id=company.external_id,
            name=company.name or company.external_id,
            created_at=now,
        )
        session.add(row)
    row.name = company.name or row.name
    row.grant_id, row.remote_connection_id = grant.id, company.remote_connection_id
    row.health, row.health_reason = ConnectionHealth.OK if row.first_pull_done_at else ConnectionHealth.NEW, ""
    row.next_run_at = now
    session.flush()
    verb = "reconnected" if again else "connected"
    message = f"{row.name} ({provider.title}) was {verb}, in {in_sentence(label(row.mode, 'connection_mode'))} mode."
    sync_log.write(session, at=now, kind=LogKind.CONNECTED, text=message, connection_id=row.id)
    return row


def _delete_unused_grants(session: Session, provider: System) -> None:
    """Delete grants that no connection uses. They are not revoked: that could end the company's new grant as well."""
    used = select(col(Connection.grant_id)).where(col(Connection.grant_id).is_not(None))
    session.execute(delete(Grant).where(col(Grant.provider) == provider.name, col(Grant.id).not_in(used)))


def _record_outcome(app: AppContext, state: str, outcome: JsonObject) -> None:
    with writing(app.engine) as session:
        _set_outcome(session, state, outcome)


def _set_outcome(session: Session, state: str, outcome: JsonObject) -> None:
    session.get_one(PendingConsent, _hash(state)).outcome = outcome


def load_connections(app: AppContext, ids: Sequence[int]) -> list[Connection]:
    """Return connections by id, in the order given."""
    with reading(app.engine) as session:
        return [session.get_one(Connection, connection_id) for connection_id in ids]


def _retry_hint(provider: System) -> str:
    page = "under Settings, Sender," if isinstance(provider, MailboxProvider) else "on the Companies page,"
    return f"Start again {page} or with: duewell connect {provider.name}"


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def consent_associated_data(state_hash: str, provider_name: str) -> str:
    """Return the associated data of a pending consent's secret, which cannot be decrypted in another row."""
    return f"consent|{state_hash}|{provider_name}|v1"
