"""The checks of the set-up guide: does a service know the keys, and does a test email arrive?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from connector.app_context import AppContext, UncountedCalls
from connector.connections.mailboxes import mailer_name, open_mailer
from connector.db.engine import writing
from connector.db.tables import KeyValue
from connector.emails.message_ids import message_id
from connector.errors import NotPossible
from connector.guides import guide
from connector.services import doctor_dns, doctor_email
from connector.services.doctor_checks import ERROR, OK, WARNING, Check, Finding
from connector.services.setup_guide import SetupStep, confirm_step, mailer_title, sender_fingerprint, sender_problem
from providers.errors import AuthorizationExpired, PermanentError, ProviderError
from providers.mailer import Email

_TEST_KEY = "test_email_sent"
_TEST_PAUSE = timedelta(minutes=1)  # a button is not a way to flood a mailbox
_UNKNOWN_TOKEN = "duewell-setup-check"  # noqa: S105 - it belongs to nobody, which is the point


def ledger_keys(app: AppContext) -> Iterator[Finding]:
    """Ask each accounting system with keys for a token it never issued: it names wrong keys, or only refuses that."""
    for name, provider in sorted(app.providers.items()):
        if provider.missing_settings(app.settings):
            continue
        try:
            provider.refresh(app.settings, {"refresh_token": _UNKNOWN_TOKEN}, UncountedCalls())
        except AuthorizationExpired:
            yield Finding(f"keys.{name}", OK, f"{provider.title} knows the app.")
        except PermanentError as problem:
            fix = f"Copy the client id and secret again; see {guide(f'connect-{name}.md')}."
            yield Finding(f"keys.{name}", ERROR, f"{provider.title} does not accept the keys: {problem}.", fix)
        except ProviderError as problem:
            yield Finding(f"keys.{name}", WARNING, f"{provider.title} could not be asked: {problem}.", "Try again.")


KEY_CHECKS: tuple[Check, ...] = (ledger_keys, doctor_email.scopes)
SENDER_CHECKS: tuple[Check, ...] = (doctor_email.sender, doctor_dns.sender_domain)


def send_test_email(app: AppContext, to: str, *, by: str) -> str:
    """Send a test email to an address, and return what the email service said.

    Raises:
        NotPossible: it could not be sent; the message says why and what to do.

    """
    mailer, now = open_mailer(app), app.now()
    missing = sender_problem(app)
    if mailer is None or missing:
        raise NotPossible(f"The test email was not sent. {missing}")
    with writing(app.engine) as session:
        last = session.get(KeyValue, (0, _TEST_KEY))
        if last is not None and now - last.stored_at < _TEST_PAUSE:
            raise NotPossible("A test email was sent within the last minute. Wait a moment, and look for it first.")
        session.merge(KeyValue(connection_id=0, name=_TEST_KEY, value=by, stored_at=now))
    try:
        receipt = mailer.send(_build_test_email(app, to))
    except ProviderError as problem:
        raise NotPossible(f"The test email was not sent: {problem}.") from problem
    with writing(app.engine) as session:
        confirm_step(session, SetupStep.SENDER, by=sender_fingerprint(app), at=now)
    return f"{mailer.name} accepted the test email to {to} ({receipt.message_id})."


def _build_test_email(app: AppContext, to: str) -> Email:
    settings = app.settings
    key = f"test:{app.now():%Y%m%dT%H%M%S}"
    service = mailer_title(app, mailer_name(app))
    text = (
        f"This is the test email of duewell, sent by {service} from {settings.mail_from}.\n\n"
        "If it is in your inbox and not among the spam, customers will get your reminders. If not, look at the"
        f" sender's checks: {settings.duewell_base_url}/setup\n"
    )
    return Email(
        key=key,
        attempt=1,
        to=(to,),
        to_name="",
        sender=settings.mail_from,
        sender_name=settings.mail_from_name or "duewell",
        reply_to=settings.mail_reply_to or settings.mail_from,
        subject="Test email from duewell",
        text=text,
        html="".join(f"<p>{line}</p>" for line in text.split("\n") if line),
        category="test",
        headers=(
            ("Message-ID", message_id(key, settings.mail_from.rpartition("@")[2])),
            ("Auto-Submitted", "auto-generated"),
        ),
    )
