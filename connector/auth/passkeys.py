"""Passkeys (WebAuthn): signing in with a key on the user's device, which verifies the user before it is used.

A challenge is encrypted into the page instead of being stored, so that page views by strangers fill no table. It is
valid for a few minutes, for one purpose, and once.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlmodel import Session, col

from connector.app_context import AppContext
from connector.audit import sync_log
from connector.auth import passkey_requirement, sessions
from connector.auth.sessions import Browser
from connector.auth.sign_in import SignInError
from connector.auth.single_use import use_once
from connector.auth.users import CurrentUser
from connector.client_network import network_of
from connector.db.engine import reading, writing
from connector.db.tables import Passkey, User
from connector.quiet_log import QuietLog
from connector.secrets.keyring import KeyringError
from connector.settings import Settings
from connector.vocabulary import LogKind
from providers.import_lock import IMPORT_LOCK

_failures = QuietLog(logging.getLogger("duewell.auth.passkeys"))
CHALLENGE_LIFETIME = timedelta(minutes=5)
PER_USER_MAX = 20
_SIGN_IN, _REGISTER = "sign in", "new"
_JSON_MAX = 20_000


class PasskeyError(SignInError):
    """A passkey was not accepted or cannot be added or removed; the message says why."""


class PasskeyOptions(NamedTuple):
    """The WebAuthn options for the page's script, as JSON, and the encrypted challenge to send back."""

    options_json: str
    challenge: str


def authentication_options(app: AppContext, current_user: CurrentUser | None) -> PasskeyOptions | None:
    """Return the options to sign in with a passkey, of the given user or of anyone; None where there is none."""
    with reading(app.engine) as session:
        query = (
            select(col(Passkey.id)).where(col(Passkey.user_id) == current_user.id)
            if current_user
            else select(col(Passkey.id))
        )
        ids = list(session.scalars(query.limit(PER_USER_MAX)))
    if not ids or not passkey_requirement.is_supported(app.settings):
        return None
    challenge = secrets.token_bytes(32)
    asked = {
        "challenge": _to_base64(challenge),
        "rpId": passkey_requirement.relying_party_id(app.settings),
        "userVerification": "required",
        "allowCredentials": [{"type": "public-key", "id": each} for each in ids] if current_user else [],
    }
    return PasskeyOptions(json.dumps(asked), _seal(app, challenge, _SIGN_IN, current_user))


def registration_options(app: AppContext, current_user: CurrentUser) -> PasskeyOptions | None:
    """Return the options to create a passkey for a user; None where browsers do not allow it."""
    if not passkey_requirement.is_supported(app.settings):
        return None
    challenge = secrets.token_bytes(32)
    with reading(app.engine) as session:
        known = list(session.scalars(select(col(Passkey.id)).where(col(Passkey.user_id) == current_user.id)))
    asked = {
        "challenge": _to_base64(challenge),
        "rp": {"id": passkey_requirement.relying_party_id(app.settings), "name": "duewell"},
        "user": {
            "id": _to_base64(f"user {current_user.id}".encode()),
            "name": current_user.email,
            "displayName": current_user.name,
        },
        "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in (-8, -7, -257)],
        "excludeCredentials": [{"type": "public-key", "id": each} for each in known],
        "authenticatorSelection": {"residentKey": "required", "userVerification": "required"},
        "attestation": "none",
    }
    return PasskeyOptions(json.dumps(asked), _seal(app, challenge, _REGISTER, current_user))


def register(app: AppContext, current_user: CurrentUser, token: str, challenge: str, credential: str, name: str) -> str:
    """Store the public key of a passkey that the user's device has just created; return the session's new token.

    Raises:
        PasskeyError: the passkey is not accepted.
        UserError: the session ended meanwhile.

    """
    with IMPORT_LOCK:
        from webauthn import verify_registration_response  # noqa: PLC0415 - slow to import, rarely needed
        from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    opened = _unseal(app, challenge, _REGISTER, current_user)
    now = app.now()
    try:
        created = verify_registration_response(
            credential=credential[:_JSON_MAX],
            expected_challenge=opened,
            expected_rp_id=passkey_requirement.relying_party_id(app.settings),
            expected_origin=_origin(app.settings),
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, RecursionError) as problem:
        message = "The device's response is not valid; no passkey was added."
        raise PasskeyError(message) from problem
    with writing(app.engine) as session:
        _consume_challenge(session, challenge, now)
        if len(list_passkeys(session, current_user)) >= PER_USER_MAX:
            message = f"You can have {PER_USER_MAX} passkeys at most. Remove one first."
            raise PasskeyError(message)
        # Web Authentication, 7.1: a credential id belongs to one user
        if session.get(Passkey, _to_base64(created.credential_id)) is not None:
            message = "This passkey was added already."
            raise PasskeyError(message)
        row = Passkey(
            id=_to_base64(created.credential_id),
            user_id=current_user.id,
            public_key=created.credential_public_key,
            sign_count=created.sign_count,
            name=name[:80] or "Passkey",
            created_at=now,
        )
        session.add(row)
        passkey_requirement.record_relying_party(session, app.settings, now)
        sync_log.write(
            session, at=now, kind=LogKind.PASSKEY_ADDED, text=f"{current_user.email} added the passkey {row.name}."
        )
        return sessions.reauthenticate(session, token, now, strong=True)


def sign_in(app: AppContext, challenge: str, credential: str, browser: Browser) -> str:
    """Open a session for the user of a passkey; return its token.

    Attempts are not limited: a passkey cannot be guessed, and whoever has one always has a way in.
    """
    try:
        opened = _unseal(app, challenge, _SIGN_IN, None)
        key, count = _verify(app, opened, credential)
    except PasskeyError:
        _failures.note("sign-in failed", "a passkey", network_of(browser.address) or "this machine")
        raise
    now = app.now()
    with writing(app.engine) as session:
        user = session.get_one(User, _record_use(session, challenge, key, count, now))
        if user.disabled_at is not None:
            raise PasskeyError(_REJECTED)
        return sessions.begin(session, user, now, browser, by="passkey", strong=True)


def reauthenticate(app: AppContext, current_user: CurrentUser, token: str, challenge: str, credential: str) -> str:
    """Authenticate a signed-in user again with their passkey; return the session's new token."""
    opened = _unseal(app, challenge, _SIGN_IN, current_user)
    key, count = _verify(app, opened, credential)
    if key.user_id != current_user.id:
        raise PasskeyError(_REJECTED)
    now = app.now()
    with writing(app.engine) as session:
        _record_use(session, challenge, key, count, now)
        return sessions.reauthenticate(session, token, now, strong=True)


def list_passkeys(session: Session, current_user: CurrentUser) -> list[Passkey]:
    """Return a user's passkeys."""
    query = select(Passkey).where(col(Passkey.user_id) == current_user.id).order_by(col(Passkey.created_at))
    return list(session.scalars(query))


def remove(app: AppContext, current_user: CurrentUser, passkey_id: str) -> bool:
    """Remove a passkey; return False if the user has no such passkey.

    Raises:
        PasskeyError: it is their only one, and passkeys are required.

    """
    now = app.now()
    with writing(app.engine) as session:
        session.get_one(User, current_user.id, with_for_update=True)  # two removals at once would leave none
        row = session.get(Passkey, passkey_id)
        if row is None or row.user_id != current_user.id:
            return False
        if passkey_requirement.get_requirement(session) and len(list_passkeys(session, current_user)) == 1:
            message = "This is your only passkey, and passkeys are required here. Add another one first."
            raise PasskeyError(message)
        session.delete(row)
        session.flush()
        if not list_passkeys(session, current_user):
            session.get_one(User, current_user.id).passkey_only = False
        text = f"{current_user.email} removed the passkey {row.name}."
        sync_log.write(session, at=now, kind=LogKind.PASSKEY_REMOVED, text=text)
    return True


def set_passkey_only(app: AppContext, current_user: CurrentUser, *, passkey_only: bool) -> None:
    """Turn signing in with the password alone off or on for a user who has a passkey."""
    with writing(app.engine) as session:
        if passkey_only and not list_passkeys(session, current_user):
            message = "Add a passkey first."
            raise PasskeyError(message)
        session.get_one(User, current_user.id).passkey_only = passkey_only


_REJECTED = "This passkey is not accepted here."


def _verify(app: AppContext, challenge: bytes, credential: str) -> tuple[Passkey, int]:
    """Verify a device's response; return the passkey and its new use count."""
    with IMPORT_LOCK:
        from webauthn import verify_authentication_response  # noqa: PLC0415 - slow to import, rarely needed
        from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    try:
        parsed = json.loads(credential[:_JSON_MAX])
        with reading(app.engine) as session:
            row = session.get(Passkey, str(parsed["id"]).replace("\x00", ""))
        if row is None:
            raise PasskeyError(_REJECTED)
        verified = verify_authentication_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=passkey_requirement.relying_party_id(app.settings),
            expected_origin=_origin(app.settings),
            credential_public_key=row.public_key,
            credential_current_sign_count=row.sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise PasskeyError(_REJECTED) from problem
    return row, verified.new_sign_count


def _record_use(session: Session, challenge: str, key: Passkey, count: int, now: datetime) -> int:
    """Record that a passkey and its challenge were used; return the id of the user."""
    _consume_challenge(session, challenge, now)
    row = session.get(Passkey, key.id, with_for_update=True)
    if row is None or (row.sign_count != key.sign_count and count <= row.sign_count):
        raise PasskeyError(_REJECTED)  # removed, or used since it was verified: a copy of it counts no further
    row.sign_count, row.used_at = count, now
    return row.user_id


def _consume_challenge(session: Session, challenge: str, now: datetime) -> None:
    if not use_once(session, challenge, now):
        message = "This form was used already. Reload the page."
        raise PasskeyError(message)


def _seal(app: AppContext, challenge: bytes, purpose: str, current_user: CurrentUser | None) -> str:
    kept = json.dumps([_to_base64(challenge), app.now().isoformat()]).encode()
    return _to_base64(app.keyring.encrypt(kept, _associated_data(purpose, current_user)))


def _unseal(app: AppContext, sealed: str, purpose: str, current_user: CurrentUser | None) -> bytes:
    try:
        kept = json.loads(app.keyring.decrypt(_from_base64(sealed), _associated_data(purpose, current_user)))
    except (KeyringError, binascii.Error, ValueError) as problem:
        message = "This form is not valid or too old. Reload the page."
        raise PasskeyError(message) from problem
    if app.now() - datetime.fromisoformat(kept[1]) > CHALLENGE_LIFETIME:
        message = "This form has expired. Reload the page."
        raise PasskeyError(message)
    return _from_base64(kept[0])


def _associated_data(purpose: str, current_user: CurrentUser | None) -> str:
    return f"passkey|{purpose}|{current_user.id if current_user else 'anybody'}|v1"


def _origin(settings: Settings) -> str:
    parts = urlsplit(settings.duewell_base_url)
    return f"{parts.scheme}://{parts.netloc}"


def _to_base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _from_base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text[:_JSON_MAX] + "=" * (-len(text) % 4))
