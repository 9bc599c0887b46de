"""A mailbox is connected once, by its owner, and its token is kept like a company's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from connector.app_context import AppContext, UncountedCalls
from connector.connections import mailboxes
from connector.connections.consent import ConsentError, begin_consent, consent_outcome, finish_consent
from connector.connections.tokens import associated_data, fresh_token
from connector.db.engine import reading
from connector.db.tables import ConnectedMailbox, Grant, SyncLogEntry
from connector.services import doctor_email
from connector.web.callback import handle_callback
from providers.errors import AuthorizationExpired, TransientError
from providers.gmail import GmailProvider
from sandbox.gmail import Gmail
from sandbox.gmail.service import ACCOUNT
from sandbox.microsoft365 import ADDRESS
from sandbox.sendgrid import SendGrid
from tests.connector.installed import Command, SandboxServices

AnswerConsent = Callable[..., str]
NAME = "microsoft365"
REAL_GMAIL_SETTINGS = Gmail.settings


@pytest.fixture(autouse=True)
def _without_sendgrid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SendGrid, "settings", lambda _self, _url: {"MAIL_FROM": ADDRESS})
    monkeypatch.setattr(Gmail, "settings", lambda _self, _url: {})


@pytest.fixture
def connect(app: AppContext, answer_consent: AnswerConsent) -> Callable[[], ConnectedMailbox]:
    def give() -> ConnectedMailbox:
        assert finish_consent(app, NAME, answer_consent(begin_consent(app, NAME).url)) == []
        row = mailboxes.find_mailbox(app)
        assert row is not None
        return row

    return give


Connect = Callable[[], ConnectedMailbox]


def grant_of(app: AppContext, row: ConnectedMailbox) -> Grant:
    with reading(app.engine) as session:
        return session.get_one(Grant, row.grant_id)


def choose_another_account(services: SandboxServices) -> None:
    mailbox = services.sandbox.microsoft365.mailbox
    mailbox.address, mailbox.account_id = "office@larkspur.example", "0f4a4d7e-6a1b-4a55-8f0e-2f6a3b1c9d22"


def log_kinds(app: AppContext) -> list[str]:
    with reading(app.engine) as session:
        return [str(each) for each in session.scalars(select(SyncLogEntry.kind))]  # type: ignore[call-overload]


def test_the_mailbox_that_signed_in_sends_the_emails(app: AppContext, connect: Connect) -> None:
    assert mailboxes.mailer_name(app) == NAME
    row = connect()
    assert row.address == ADDRESS
    mailer = mailboxes.open_mailer(app)
    assert mailer is not None
    assert mailer.name == "Microsoft 365"
    assert log_kinds(app) == ["mailbox_connected"]


def test_its_token_is_encrypted_and_bound_to_its_row(app: AppContext, connect: Connect) -> None:
    grant = grant_of(app, connect())
    assert b"refresh_token" not in grant.token
    token = json.loads(app.keyring.decrypt(grant.token, associated_data(grant)))
    assert set(token["scope"].split()) >= {f"https://graph.microsoft.com/Mail.{each}" for each in ("Send", "Read")}


def test_its_token_is_refreshed_once_and_saved(app: AppContext, connect: Connect, services: SandboxServices) -> None:
    row = connect()
    services.sandbox.clock.advance(timedelta(hours=2))
    before = services.count_token_calls(NAME)
    first = fresh_token(app, row.grant_id, UncountedCalls())
    assert fresh_token(app, row.grant_id, UncountedCalls()) == first
    assert services.count_token_calls(NAME) == before + 1


def test_connecting_again_keeps_one_mailbox_and_its_position(app: AppContext, connect: Connect) -> None:
    mailboxes.store_position(app, connect(), "/here")
    assert connect().cursor == "/here"
    with reading(app.engine) as session:
        assert len(list(session.scalars(select(ConnectedMailbox)))) == 1
        assert len(list(session.scalars(select(Grant)))) == 1


def test_another_mailbox_replaces_it_and_is_read_from_its_own_beginning(
    app: AppContext, connect: Connect, services: SandboxServices
) -> None:
    mailboxes.store_position(app, connect(), "/here")
    services.sandbox.microsoft365.mailbox.address = "accounts@larkspur.example"
    row = connect()
    assert (row.address, row.cursor) == ("accounts@larkspur.example", "/here"), "renamed, it is still the same one"
    choose_another_account(services)
    row = connect()
    assert (row.address, row.cursor) == ("office@larkspur.example", "")


def test_the_access_to_a_replaced_mailbox_ends_at_microsoft_as_far_as_an_app_can(
    app: AppContext, connect: Connect, services: SandboxServices, answer_consent: AnswerConsent
) -> None:
    connect()
    choose_another_account(services)
    request = begin_consent(app, NAME)
    result = handle_callback(app, NAME, answer_consent(request.url).partition("?")[2])
    said = f"It replaces {ADDRESS}, whose token was deleted here. To end the access at Microsoft as well, its owner"
    assert f"{said} removes duewell at https://myapps.microsoft.com." in result.text
    assert (consent_outcome(app, request.state) or {})["notes"][0] == said.partition(". ")[0] + "."
    with reading(app.engine) as session:
        assert len(list(session.scalars(select(Grant)))) == 1
        assert said in list(session.scalars(select(SyncLogEntry.text)))[-1]  # type: ignore[call-overload]


@pytest.fixture
def with_gmail(app: AppContext, services: SandboxServices, answer_consent: AnswerConsent) -> AppContext:
    """Set up Gmail, with the first account connected."""
    values = REAL_GMAIL_SETTINGS(services.sandbox.gmail, app.settings.microsoft365_api_url)
    settings = {name.lower(): value for name, value in values.items()}
    app = replace(app, settings=app.settings.model_copy(update=settings))
    finish_consent(app, "gmail", answer_consent(begin_consent(app, "gmail").url, [ACCOUNT]))
    return app


def revoked(services: SandboxServices) -> dict[str, list[bool]]:
    """Return whether each grant of an account was revoked at Google."""
    found: dict[str, list[bool]] = {}
    for grant in services.sandbox.gmail.sign_in.grants:
        found.setdefault(grant.address, []).append(grant.revoked)
    return found


def test_the_access_to_a_replaced_mailbox_ends_at_google(
    with_gmail: AppContext, services: SandboxServices, answer_consent: AnswerConsent
) -> None:
    services.sandbox.gmail.add_account("office@larkspur.example")
    url = begin_consent(with_gmail, "gmail").url
    finish_consent(with_gmail, "gmail", answer_consent(url, ["office@larkspur.example"]))
    assert revoked(services) == {ACCOUNT: [True], "office@larkspur.example": [False]}


def test_connecting_the_same_account_again_ends_no_access(
    with_gmail: AppContext, services: SandboxServices, answer_consent: AnswerConsent
) -> None:
    finish_consent(with_gmail, "gmail", answer_consent(begin_consent(with_gmail, "gmail").url, [ACCOUNT]))
    services.sandbox.gmail.rename_account(ACCOUNT, "accounts@larkspur.example")
    url = begin_consent(with_gmail, "gmail").url
    finish_consent(with_gmail, "gmail", answer_consent(url, ["accounts@larkspur.example"]))
    assert revoked(services) == {"accounts@larkspur.example": [False] * 3}


def test_a_failed_end_of_the_old_access_is_told_and_the_new_mailbox_is_connected(
    with_gmail: AppContext, services: SandboxServices, answer_consent: AnswerConsent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> str:
        raise TransientError("no connection")

    monkeypatch.setattr(GmailProvider, "revoke", fail)
    services.sandbox.gmail.add_account("office@larkspur.example")
    request = begin_consent(with_gmail, "gmail")
    finish_consent(with_gmail, "gmail", answer_consent(request.url, ["office@larkspur.example"]))
    notes = (consent_outcome(with_gmail, request.state) or {})["notes"]
    assert notes[1] == "Ending the access at Gmail failed (no connection): remove duewell there by hand."
    row = mailboxes.find_mailbox(with_gmail, "gmail")
    assert row is not None
    assert row.address == "office@larkspur.example"


def test_a_dead_consent_says_how_to_connect_again(app: AppContext, connect: Connect, services: SandboxServices) -> None:
    row = connect()
    services.sandbox.microsoft365.revoke_consent()
    services.sandbox.clock.advance(timedelta(hours=2))
    with pytest.raises(AuthorizationExpired, match=r"AADSTS700082.*duewell connect microsoft365"):
        fresh_token(app, row.grant_id, UncountedCalls())
    assert "duewell connect microsoft365" in mailboxes.mailbox_problem(app, row)
    assert "mailbox_expired" in log_kinds(app)
    connect()
    assert mailboxes.mailbox_problem(app, row) == ""


def test_a_consent_without_a_needed_permission_is_refused(
    app: AppContext, services: SandboxServices, answer_consent: AnswerConsent
) -> None:
    services.sandbox.microsoft365.signin.granted_scopes = frozenset({"offline_access", "User.Read", "Mail.Send"})
    with pytest.raises(ConsentError, match=r"did not grant Mail\.Read"):
        finish_consent(app, NAME, answer_consent(begin_consent(app, NAME).url))
    assert mailboxes.find_mailbox(app) is None


def test_an_expired_app_secret_keeps_the_consent(app: AppContext, connect: Connect, services: SandboxServices) -> None:
    row = connect()
    services.sandbox.clock.advance(timedelta(hours=2))
    services.sandbox.microsoft365.signin.error = ("invalid_client", 7000222)
    mailer = mailboxes.open_mailer(app)
    assert mailer is not None
    with pytest.raises(AuthorizationExpired, match=r"AADSTS7000222.*MICROSOFT365_CLIENT_SECRET"):
        mailer.find_sent("key", (), app.now())
    services.sandbox.microsoft365.signin.error = None
    assert mailboxes.mailbox_problem(app, row) == ""
    assert mailer.find_sent("key", (), app.now()) is None


def test_it_is_disconnected_here_and_the_rest_is_told(app: AppContext, connect: Connect) -> None:
    connect()
    lines = mailboxes.disconnect_mailbox(app, NAME, by="Ann")
    assert "disconnected by Ann" in lines[0]
    assert "myapps.microsoft.com" in lines[1]
    assert mailboxes.find_mailbox(app) is None
    with reading(app.engine) as session:
        assert list(session.scalars(select(Grant))) == []
    with pytest.raises(mailboxes.MailboxNotConnected):
        mailboxes.disconnect_mailbox(app, NAME)


def test_without_a_mailbox_nothing_is_sent_and_the_reason_says_what_to_do(app: AppContext) -> None:
    mailer = mailboxes.open_mailer(app)
    assert mailer is not None
    with pytest.raises(AuthorizationExpired, match="duewell connect microsoft365"):
        mailer.find_sent("key", (), app.now())


def test_the_mailbox_that_is_connected_sends_and_of_two_the_first_or_the_chosen_one(
    app: AppContext, connect: Connect, services: SandboxServices, answer_consent: AnswerConsent
) -> None:
    def with_settings(**more: str) -> AppContext:
        return replace(app, settings=app.settings.model_copy(update={**google, **more}))

    def choice(app: AppContext) -> str:
        return "".join(f"{each.message} {each.fix}" for each in doctor_email.sender(app) if each.id == "email.choice")

    url = app.settings.microsoft365_api_url
    google = {name.lower(): value for name, value in REAL_GMAIL_SETTINGS(services.sandbox.gmail, url).items()}
    both = with_settings()
    assert mailboxes.mailer_name(both) == "gmail", "none is connected yet"
    connect()
    assert mailboxes.mailer_name(both) == NAME
    assert choice(both) == ""
    finish_consent(both, "gmail", answer_consent(begin_consent(both, "gmail").url))
    assert mailboxes.mailer_name(both) == NAME, "connecting another does not change the sender unasked"
    assert "Microsoft 365, which was connected first" in choice(both)
    assert "MAIL_SERVICE: microsoft365 or gmail" in choice(both)
    chosen = with_settings(mail_service="gmail")
    assert (mailboxes.mailer_name(chosen), choice(chosen)) == ("gmail", "")
    unusable = with_settings(mail_service="smtp")
    assert mailboxes.mailer_name(unusable) == ""
    assert "sent by smtp (MAIL_SERVICE), whose settings are missing" in next(doctor_email.sender(unusable)).message
    sendgrid = with_settings(sendgrid_api_key="SG.x")
    assert mailboxes.mailer_name(sendgrid) == "sendgrid"
    assert "whose settings come first" in choice(sendgrid)
    mailboxes.disconnect_mailbox(both, NAME)
    assert mailboxes.mailer_name(both) == "gmail"


def test_the_browser_comes_back_to_the_sender_page(
    app: AppContext, services: SandboxServices, answer_consent: AnswerConsent
) -> None:
    request = begin_consent(app, NAME)
    query = answer_consent(request.url).partition("?")[2]
    result = handle_callback(app, NAME, query)
    assert result.status_code == 200
    assert ADDRESS in result.text
    assert consent_outcome(app, request.state) == {"connections": [], "mailbox": ADDRESS}
    again = handle_callback(app, NAME, query)
    assert again.status_code == 400
    assert "Settings, Sender" in again.text


def test_only_one_sync_reads_it_at_a_time(app: AppContext, connect: Connect) -> None:
    row, now = connect(), app.now()
    due, until = now, now + timedelta(minutes=15)
    assert mailboxes.claim_reading(app, row, due_before=due, until=until)
    assert not mailboxes.claim_reading(app, row, due_before=due, until=until)
    mailboxes.end_reading(app, row, read_at=now)
    assert not mailboxes.claim_reading(app, row, due_before=now - timedelta(minutes=10), until=until)


def test_it_is_disconnected_in_the_terminal(duewell: Command, connect: Connect) -> None:
    connect()
    result = duewell("connections", "disconnect-mailbox", NAME)
    assert result.exit_code == 0, result.err
    assert ADDRESS in result.out
    assert duewell("connections", "disconnect-mailbox", NAME).exit_code == 1
