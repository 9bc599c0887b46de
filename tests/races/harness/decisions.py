"""Every service function by which people, customers and programs change what is stored, as one decision of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

from sqlmodel import Session

from connector import policy_store
from connector.api import idempotency
from connector.api.problems import ApiError
from connector.arrangements import agreements, tasks
from connector.arrangements.agreements import AgreementError
from connector.arrangements.customer_settings import update_settings
from connector.arrangements.tasks import TaskError, TaskOutcome
from connector.auth import api_tokens, oidc, passkeys, sign_in, users
from connector.auth.api_tokens import ApiClient
from connector.auth.sign_in import SignInError
from connector.auth.users import CurrentUser, UserError
from connector.connections import account_owners, consent, registry
from connector.connections.consent import ConsentError
from connector.db.engine import DatabaseError, open_engine, reading, writing
from connector.db.tables import InvoiceRow
from connector.emails import portal_links
from connector.emails.inbound import events, reminder_stops, replies
from connector.emails.inbound.reply_parsing import Reply
from connector.emails.outbound import email_templates
from connector.outbox import approvals
from connector.outbox.approvals import OutboxError
from connector.portal import responses
from connector.portal.customer_response import CustomerResponse, ResponseRejected
from connector.privacy import erase, retention
from connector.restore import backup, rollback_detection
from connector.runtime import lease
from connector.services import email_editing, fees, invoices, key_rotation
from connector.sync import webhook_inbox
from connector.vocabulary import ConnectionMode, ResponseKind, Role, TokenScope
from connector.webhooks import delivery, endpoints
from policies.receivables import Instalment, Step
from providers.capabilities import ChangeNotification
from providers.delivery_events import DeliveryEvent, EventKind
from providers.ledger import CompanyRef, Consent
from tests.connector.authenticator import b64
from tests.races.harness import newer_decisions
from tests.races.harness.compare import read_state
from tests.races.harness.world import BROWSER, OWNERS, World

Decision = Callable[[World], object]
# What a decision may answer when somebody else was first: a message for the person, and nothing is changed.
REFUSALS = (
    AgreementError,
    ApiError,
    OutboxError,
    ResponseRejected,
    SignInError,
    TaskError,
    UserError,
    erase.EraseError,
    endpoints.EndpointError,
    lease.RunInProgress,
    ConsentError,
    DatabaseError,
    registry.DisconnectedError,
    *newer_decisions.REFUSALS,
)
PASSWORD = "violet kettle orbit lantern mosaic"


def _in_session(change: Callable[..., object], **details: Any) -> Callable[[World], object]:
    def decide(world: World) -> object:
        with writing(world.app.engine) as session:
            change(session, world, **details)
        return None

    return decide


def _approve(session: Session, world: World, *ids: int, by: str) -> None:
    approvals.approve(session, ids or world.emails[:1], by=by, at=world.app.now())


def _resolve(session: Session, world: World, *, sent: bool) -> None:
    approvals.resolve(session, world.unconfirmed, sent=sent, by="ann", at=world.app.now())


def _agree(change: Callable[..., Any], **details: Any) -> Decision:
    """Record an agreement about Birch's invoice, which is read before, as the commands do."""

    def decide(world: World) -> object:
        with reading(world.app.engine) as session:
            invoice = session.get_one(InvoiceRow, (world.connection, world.invoices[1]))
        return invoices.record_agreement(world.app, invoice, "ann", change, **details)

    return decide


def _respond(kind: ResponseKind, customer: int = 1, **said: Any) -> Decision:
    def decide(world: World) -> object:
        visitor = portal_links.PortalVisitor(world.connection, world.customers[customer], expired=False)
        told = {name: value(world) if callable(value) else value for name, value in said.items()}
        response = CustomerResponse(kind, (world.invoices[customer],), **told)
        return responses.record_response(world.app, visitor, response)

    return decide


def _today(world: World) -> date:
    return world.app.now().date()


def _in_days(days: int) -> Callable[[World], date]:
    return lambda world: _today(world) + timedelta(days=days)


def _dated(change: Callable[..., Any], name: str, days: int) -> Decision:
    return lambda world: _agree(change, **{name: _in_days(days)(world)})(world)


def _plan(world: World) -> object:
    halves = [Instalment(_in_days(days)(world), Decimal(600)) for days in (7, 14)]
    return _agree(agreements.set_payment_plan, instalments=halves)(world)


def _event(kind: str, key: str, **details: Any) -> Decision:
    def decide(world: World) -> object:
        event = DeliveryEvent(
            id=f"{kind}-{key}",
            kind=EventKind(kind),
            address="accounts@ashdown.example",
            at=world.app.now(),
            key=key,
            **details,
        )
        return events.receive_events(world.app, [event])

    return decide


def _ledger_event(number: str) -> Decision:
    def decide(world: World) -> None:
        with reading(world.app.engine) as session:
            external_id = registry.find_connection(session, world.connection).external_id
        webhook_inbox.receive_events(
            world.app, "xero", [ChangeNotification(f"event-{number}", external_id, world.invoices[0])]
        )

    return decide


def _set_password(world: World) -> object:
    sign_in.set_password(world.app, world.password_link, PASSWORD, BROWSER)
    return None


def _sign_in_by_link(world: World) -> object:
    return sign_in.sign_in_by_link(world.app, world.link, BROWSER) is not None


def _hold_lease(world: World) -> None:
    with lease.acquire(world.app, world.connection):
        pass


def _begin_request(world: World) -> object:
    client = ApiClient(world.token_id, "Robot", frozenset({TokenScope.WRITE}), None)
    return idempotency.begin(world.app, client, "key-1", "print") is None


def _user(change: Callable[..., object], *, by: str, **details: Any) -> Decision:
    return _in_session(lambda session, world: change(session, by=by, at=world.app.now(), **details))


def _change_settings(world: World, **changes: Any) -> None:
    told = {name: value(world) if callable(value) else value for name, value in changes.items()}
    update_settings(world.app, world.connection, world.customers[0], told, by="ann")  # type: ignore[arg-type]


def _stop(world: World) -> object:
    stopped = reminder_stops.stop_reminders(world.app, world.stop_token)
    return stopped is not None


def _passkey_id(world: World) -> str:
    return b64(world.authenticator.id)


def _as_user(world: World, email: str) -> CurrentUser:
    with reading(world.app.engine) as session:
        return users.build_current_user(session, users.find_user(session, email))


def _sign_in_by_passkey(world: World) -> object:
    """Sign in with Ann's passkey; who does so at the same time has a copy of it, which counts alike."""
    options = passkeys.authentication_options(world.app, None)
    if options is None:
        raise passkeys.PasskeyError("There is no passkey.")
    credential = replace(world.authenticator).sign(json.loads(options.options_json))
    return bool(passkeys.sign_in(world.app, options.challenge, credential, BROWSER))


def _sign_in_by_sso(world: World, email: str, linked: str = "") -> object:
    """Sign in by single sign-on, or link the account of a user who is signed in."""
    claims = {"iss": "https://id.example", "sub": "77", "email": email, "email_verified": True}
    user = _as_user(world, linked) if linked else None
    return bool(oidc._sign_in(world.app, f"{email}{linked}", claims, user, BROWSER))


def _finish_consent(world: World) -> object:
    """Take a consent that was given again, after the calls that exchange its code."""
    with reading(world.app.engine) as session:
        row = registry.find_connection(session, world.connection)
    provider = world.app.providers["xero"]
    consent._consume(world.app, provider, world.consent_state, "")
    token = {"access_token": "a", "expires_at": world.app.now().timestamp() + 1800}
    given = Consent(token, world.subject, (CompanyRef(row.external_id, row.name),))
    return len(consent._store_consent(world.app, provider, given, world.consent_state, []))


def _disconnect(world: World) -> object:
    """Disconnect, at an accounting system that says yes without being asked."""
    xero = world.app.providers["xero"]
    agreeable = SimpleNamespace(name=xero.name, title=xero.title, revoke=lambda *_given, **_named: None)
    app = replace(world.app, providers={**world.app.providers, "xero": cast("Any", agreeable)})
    return len(registry.disconnect(app, world.connection, by="ann"))


def _rotate(world: World) -> object:
    done = key_rotation.rotate(world.app)
    return f"{len(done.removed_keys)} removed, {len(done.undecryptable)} lost"


def _back_up(world: World) -> object:
    """Back up, and return what the backup holds: the state before or after what is decided meanwhile."""
    file = world.app.settings.duewell_home / "backup.db"
    backup.write_backup(world.app.engine, file, world.app.keyring, at=world.app.now())
    engine = open_engine(f"sqlite:///{file}")
    try:
        state = read_state(replace(world.app, engine=engine))
    finally:
        engine.dispose()
    # A consent is taken in two transactions, with calls between them: a backup may hold the first alone.
    rows = sorted(f"{row} {count}" for row, count in state.items() if not row.startswith(("key_value", "pending_con")))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _reply(identity: str, customer: int, text: str) -> Decision:
    def decide(world: World) -> object:
        to = ((world.reply_tokens[customer], world.app.settings.mail_reply_domain),)
        reply = Reply(identity, to, "them@customer.example", "Re: your invoice", text, automatic_reason="")
        return str(replies.receive_reply(world.app, reply))

    return decide


def _prepared_task(outcome: Callable[[World], TaskOutcome]) -> Decision:
    return lambda world: tasks.record_task_outcome(world.app, world.task, outcome(world), by="ann")


def _save_template(session: Session, world: World) -> None:
    email_templates.save_template(
        session, 'subject = "A new subject"\n', step=Step.PAST_DUE, language="", connection_id=None, by="ann",
        at=world.app.now(),
    )  # fmt: skip


DECISIONS: Mapping[str, Decision] = MappingProxyType(
    {
        # The outbox
        "approve": _in_session(lambda session, world: _approve(session, world, by="ann")),
        "approve as read": _in_session(
            lambda session, world: approvals.approve(
                session, world.emails[:1], by="ann", at=world.app.now(), seen={world.emails[0]: world.etag}
            )
        ),
        "approve all": _in_session(lambda session, world: _approve(session, world, *world.emails, by="ben")),
        "reject": _in_session(
            lambda session, world: approvals.reject(session, world.emails[:1], by="ben", at=world.app.now())
        ),
        "edit the text": lambda world: email_editing.edit_email(
            world.app, world.emails[0], {"subject": "Words of Ann"}, by="ann"
        ),
        "edit it otherwise": lambda world: email_editing.edit_email(
            world.app, world.emails[0], {"subject": "Words of Ben"}, by="ben"
        ),
        "mark as sent": _in_session(
            lambda session, world: approvals.resolve(
                session, world.unconfirmed, sent=True, by="ann", at=world.app.now()
            )
        ),
        "mark as not sent": _in_session(
            lambda session, world: approvals.resolve(
                session, world.unconfirmed, sent=False, by="ben", at=world.app.now()
            )
        ),
        "approve fee": _in_session(
            lambda session, world: fees.approve(session, [world.planned], by="ann", at=world.app.now())
        ),
        "waive fees": lambda world: fees.waive(world.app, [world.planned, world.posted], by="ben"),
        "save template": _in_session(_save_template),
        # Agreements, tasks and settings
        "dispute": _agree(agreements.record_dispute, reason="wrong goods"),
        "resolve dispute": _agree(agreements.resolve_dispute, outcome="sorted out"),
        "promise": _dated(agreements.set_promise, "on", 5),
        "another promise": _dated(agreements.set_promise, "on", 9),
        "payment plan": _plan,
        "pause invoice": _dated(agreements.pause_reminders, "until", 10),
        "resume invoice": _agree(agreements.resume_reminders),
        "complete task": _prepared_task(lambda _world: TaskOutcome(note="called them")),
        "promise by task": _prepared_task(lambda world: TaskOutcome(promised_on=_in_days(6)(world))),
        "retry task": _prepared_task(lambda world: TaskOutcome(retry_on=_in_days(3)(world))),
        "reassign task": lambda world: tasks.reassign(world.app, [world.task], "Ben <ben@example.com>", by="ann"),
        "hold customer": partial(_change_settings, hold_until_on=_in_days(20)),
        "tag customer": partial(_change_settings, tags="vip"),
        "another address": partial(_change_settings, emails="new@ashdown.example"),
        # The company
        "mode live": lambda world: registry.set_mode(world.app, world.connection, ConnectionMode.LIVE).mode,
        "mode observe": lambda world: registry.set_mode(world.app, world.connection, ConnectionMode.OBSERVE).mode,
        "pause company": lambda world: registry.pause(world.app, world.connection, by="ann").pause_reason,
        "resume company": lambda world: registry.resume(world.app, world.connection).pause_reason,
        "sync now": lambda world: registry.run_soon(world.app, world.connection).next_run_at,
        "default owner": lambda world: account_owners.set_default_owner(
            world.app, world.connection, "Ann <ann@example.com>", by="ann"
        ),
        "set policy": _in_session(
            lambda session, world: policy_store.activate_policy(
                session, "[sizes]\nlarge_percentile = 80\n", by="ann", at=world.app.now()
            )
        ),
        "disconnect": _disconnect,
        "take a consent": _finish_consent,
        "change the keys": _rotate,
        "back up": _back_up,
        "erase customer": lambda world: (
            erase.erase(world.app, world.connection, world.customers[2], by="ann").pseudonym
        ),
        "delete old data": lambda world: str(retention.prune(world.app)),
        "retention": lambda world: retention.set_retention(world.app, {"log": 400}, by="ann"),
        # Users and programs
        "Ann disables Ben": _user(users.disable, by="ann", email=OWNERS[1]),
        "Ben disables Ann": _user(users.disable, by="ben", email=OWNERS[0]),
        "Ben demotes Ann": _user(users.change_role, by="ben", email=OWNERS[0], role=Role.VIEWER),
        "add user": _user(users.add_user, by="ann", email="dan@example.com", role=Role.VIEWER),
        "reset user": _in_session(
            lambda session, world: sign_in.reset(
                session, users.find_user(session, "carol@example.com"), by="ann", at=world.app.now()
            )
        ),
        "sign in by link": _sign_in_by_link,
        "set password": _set_password,
        "sign in by passkey": _sign_in_by_passkey,
        "remove passkey": lambda world: passkeys.remove(world.app, _as_user(world, OWNERS[0]), _passkey_id(world)),
        "passkey only": lambda world: passkeys.set_passkey_only(
            world.app, _as_user(world, OWNERS[0]), passkey_only=True
        ),
        "single sign-on": lambda world: _sign_in_by_sso(world, OWNERS[1]),
        "link single sign-on": lambda world: _sign_in_by_sso(world, "", linked="carol@example.com"),
        "revoke token": _in_session(
            lambda session, world: api_tokens.revoke(session, world.token_id, by="ann", at=world.app.now())
        ),
        "begin request": _begin_request,
        "remove webhook": lambda world: endpoints.remove_endpoint(world.app, world.endpoint, by="ann"),
        "queue webhooks": lambda world: delivery._enqueue(world.app, world.endpoint),
        # Customers
        "report payment": _respond(ResponseKind.PAID, on=_today),
        "customer promises": _respond(ResponseKind.PROMISE, on=_in_days(4)),
        "customer disputes": _respond(ResponseKind.DISPUTE, text="not delivered"),
        "customer adds contact": _respond(ResponseKind.CONTACT, text="Eve", email="eve@birch.example"),
        "customer stops": _stop,
        "reply": _reply("first", 0, "Please send the invoice again."),
        "another reply": _reply("second", 0, "And one more question."),
        "create portal link": lambda world: bool(
            portal_links.create_link(world.app, world.connection, world.customers[1], by="ann")
        ),
        "revoke portal links": lambda world: portal_links.revoke_links(
            world.app, world.connection, world.customers[1], by="ann"
        ),
        # What services report, and runs
        "delivered": _event("delivered", "xero:unconfirmed"),
        "bounce": _event("bounce", "xero:unconfirmed", reason="no such mailbox", suppresses_address=True),
        "ledger event": _ledger_event("1"),
        "begin a sync": _hold_lease,
        "log head": lambda world: rollback_detection.record_log_head(world.app),
        **newer_decisions.NEWER,
    }
)
