"""Passkeys: a key in a person's device lets him in instead of a password, after the device has checked that it is he.

A challenge is sealed and handed out with the page, so that strangers who open it fill no table; it counts for a few
minutes, for one purpose, and once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from connector import sync_log
from connector.access import second_factor, sessions
from connector.access.keyring import KeyringError
from connector.access.sessions import Browser
from connector.access.sign_in import SignInError, note_failure, refuse_too_many
from connector.access.users import Person
from connector.database import reading, writing
from connector.installation import Installation
from connector.settings import Settings
from connector.tables import Passkey, SpentChallenge, User

CHALLENGE_LIFETIME = timedelta(minutes=5)
PER_PERSON_MAX = 20
_SIGN_IN, _NEW = "sign in", "new"
_JSON_MAX = 20_000


class PasskeyError(SignInError):
    """A passkey that lets nobody in, or cannot be added; ``str()`` says why."""


class Options(NamedTuple):
    """What the page's script asks the device for, as JSON, and the sealed challenge that comes back with its answer."""

    asked: str
    challenge: str


def sign_in_options(installation: Installation, person: Person | None) -> Options | None:
    """Ask for a passkey: one of this person's, or anybody's; None where there is none to ask for."""
    with reading(installation.engine) as session:
        query = select(col(Passkey.id)).where(col(Passkey.user_id) == person.id) if person else select(col(Passkey.id))
        ids = list(session.scalars(query.limit(PER_PERSON_MAX)))
    if not ids or not second_factor.possible(installation.settings):
        return None
    challenge = secrets.token_bytes(32)
    asked = {
        "challenge": _text(challenge),
        "rpId": second_factor.name_of(installation.settings),
        "userVerification": "required",
        "allowCredentials": [{"type": "public-key", "id": each} for each in ids] if person else [],
    }
    return Options(json.dumps(asked), _seal(installation, challenge, _SIGN_IN, person))


def new_options(installation: Installation, person: Person) -> Options | None:
    """Ask a device to make a passkey for this person; None where browsers would not allow it."""
    if not second_factor.possible(installation.settings):
        return None
    challenge = secrets.token_bytes(32)
    with reading(installation.engine) as session:
        known = list(session.scalars(select(col(Passkey.id)).where(col(Passkey.user_id) == person.id)))
    asked = {
        "challenge": _text(challenge),
        "rp": {"id": second_factor.name_of(installation.settings), "name": "duewell"},
        "user": {"id": _text(f"user {person.id}".encode()), "name": person.email, "displayName": person.name},
        "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in (-8, -7, -257)],
        "excludeCredentials": [{"type": "public-key", "id": each} for each in known],
        "authenticatorSelection": {"residentKey": "required", "userVerification": "required"},
        "attestation": "none",
    }
    return Options(json.dumps(asked), _seal(installation, challenge, _NEW, person))


def add(installation: Installation, person: Person, token: str, challenge: str, answer: str, name: str) -> str:
    """Keep the public half of a passkey that a device has just made for who sits there; returns his new token.

    Raises ``PasskeyError``, and ``UserError`` where his session ended meanwhile.
    """
    from webauthn import verify_registration_response  # noqa: PLC0415 - a third of a second, for few
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    opened = _open(installation, challenge, _NEW, person)
    now = installation.now()
    try:
        made = verify_registration_response(
            credential=answer[:_JSON_MAX],
            expected_challenge=opened,
            expected_rp_id=second_factor.name_of(installation.settings),
            expected_origin=_origin(installation.settings),
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError) as problem:
        message = "The device's answer does not fit what was asked for; no passkey was added."
        raise PasskeyError(message) from problem
    with writing(installation.engine) as session:
        _spend(session, challenge, now)
        if len(listing(session, person)) >= PER_PERSON_MAX:
            message = f"Nobody needs more than {PER_PERSON_MAX} passkeys; remove one first."
            raise PasskeyError(message)
        if session.get(Passkey, _text(made.credential_id)) is not None:  # Web Authentication, 7.1: an id is one user's
            message = "This passkey is known here already; no other was added."
            raise PasskeyError(message)
        row = Passkey(
            id=_text(made.credential_id),
            user_id=person.id,
            public_key=made.credential_public_key,
            sign_count=made.sign_count,
            name=name[:80] or "Passkey",
            made_at=now,
        )
        session.add(row)
        second_factor.note_name(session, installation.settings, now)
        sync_log.write(session, at=now, kind="passkey_added", text=f"{person.email} added the passkey {row.name}.")
        return sessions.prove(session, token, now, strong=True)


def sign_in(installation: Installation, challenge: str, answer: str, browser: Browser) -> str:
    """Begin a session for whoever the passkey belongs to; returns its token."""
    refuse_too_many(installation, browser.address)
    try:
        opened = _open(installation, challenge, _SIGN_IN, None)
        key, count = _verified(installation, opened, answer)
    except PasskeyError:
        note_failure(installation, browser.address, "")
        raise
    now = installation.now()
    with writing(installation.engine) as session:
        user = session.get_one(User, _used(session, challenge, key, count, now))
        if user.disabled_at is not None:
            raise PasskeyError(_NO)
        return sessions.begin(session, user, now, browser, by="passkey", strong=True)


def prove(installation: Installation, person: Person, token: str, challenge: str, answer: str) -> str:
    """Take a passkey as the proof that it is still this person who sits there; returns his session's new token."""
    opened = _open(installation, challenge, _SIGN_IN, person)
    key, count = _verified(installation, opened, answer)
    if key.user_id != person.id:
        raise PasskeyError(_NO)
    now = installation.now()
    with writing(installation.engine) as session:
        _used(session, challenge, key, count, now)
        return sessions.prove(session, token, now, strong=True)


def listing(session: Session, person: Person) -> list[Passkey]:
    """List a person's passkeys."""
    query = select(Passkey).where(col(Passkey.user_id) == person.id).order_by(col(Passkey.made_at))
    return list(session.scalars(query))


def remove(installation: Installation, person: Person, passkey_id: str) -> bool:
    """Forget a passkey; False where he has no such one. Raises ``PasskeyError`` where he needs it: his only one."""
    now = installation.now()
    with writing(installation.engine) as session:
        session.get_one(User, person.id, with_for_update=True)  # two at once would each leave the other's
        row = session.get(Passkey, passkey_id)
        if row is None or row.user_id != person.id:
            return False
        if second_factor.demanded(session) and len(listing(session, person)) == 1:
            message = "It is your only passkey, and everybody needs one here. Add another one first."
            raise PasskeyError(message)
        session.delete(row)
        session.flush()
        if not listing(session, person):
            session.get_one(User, person.id).passkey_only = False
        text = f"{person.email} removed the passkey {row.name}."
        sync_log.write(session, at=now, kind="passkey_removed", text=text)
    return True


def demand(installation: Installation, person: Person, *, alone: bool) -> None:
    """Let a person's password let nobody in any more, or again; needs a passkey."""
    with writing(installation.engine) as session:
        if alone and not listing(session, person):
            message = "Add a passkey first."
            raise PasskeyError(message)
        session.get_one(User, person.id).passkey_only = alone


_NO = "This passkey lets nobody in here."


def _verified(installation: Installation, challenge: bytes, answer: str) -> tuple[Passkey, int]:
    """Check a device's answer; returns the passkey, and how often it says it was used."""
    from webauthn import verify_authentication_response  # noqa: PLC0415 - a third of a second, for few
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

    try:
        said = json.loads(answer[:_JSON_MAX])
        with reading(installation.engine) as session:
            row = session.get(Passkey, str(said["id"]))
        if row is None:
            raise PasskeyError(_NO)
        seen = verify_authentication_response(
            credential=said,
            expected_challenge=challenge,
            expected_rp_id=second_factor.name_of(installation.settings),
            expected_origin=_origin(installation.settings),
            credential_public_key=row.public_key,
            credential_current_sign_count=row.sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as problem:
        raise PasskeyError(_NO) from problem
    return row, seen.new_sign_count


def _used(session: Session, challenge: str, key: Passkey, count: int, now: datetime) -> int:
    """Note that a passkey was used, and that this challenge never counts again; returns whose it is."""
    _spend(session, challenge, now)
    row = session.get(Passkey, key.id, with_for_update=True)
    if row is None:
        raise PasskeyError(_NO)
    row.sign_count, row.used_at = count, now
    return row.user_id


def _spend(session: Session, challenge: str, now: datetime) -> None:
    session.execute(delete(SpentChallenge).where(col(SpentChallenge.spent_at) < now - 2 * CHALLENGE_LIFETIME))
    try:
        session.add(SpentChallenge(challenge_hash=hashlib.sha256(challenge.encode()).hexdigest(), spent_at=now))
        session.flush()
    except IntegrityError as problem:
        message = "This was used already. Load the page again."
        raise PasskeyError(message) from problem


def _seal(installation: Installation, challenge: bytes, purpose: str, person: Person | None) -> str:
    kept = json.dumps([_text(challenge), installation.now().isoformat()]).encode()
    return _text(installation.keyring.encrypt(kept, _bound_to(purpose, person)))


def _open(installation: Installation, sealed: str, purpose: str, person: Person | None) -> bytes:
    try:
        kept = json.loads(installation.keyring.decrypt(_bytes(sealed), _bound_to(purpose, person)))
    except (KeyringError, binascii.Error, ValueError) as problem:
        message = "This page is not one of ours, or is too old. Load it again."
        raise PasskeyError(message) from problem
    if installation.now() - datetime.fromisoformat(kept[1]) > CHALLENGE_LIFETIME:
        message = "This page has waited too long. Load it again."
        raise PasskeyError(message)
    return _bytes(kept[0])


def _bound_to(purpose: str, person: Person | None) -> str:
    return f"passkey|{purpose}|{person.id if person else 'anybody'}|v1"


def _origin(settings: Settings) -> str:
    parts = urlsplit(settings.duewell_base_url)
    return f"{parts.scheme}://{parts.netloc}"


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text[:_JSON_MAX] + "=" * (-len(text) % 4))
