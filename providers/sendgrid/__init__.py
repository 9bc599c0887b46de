"""SendGrid behind the mailer port. Start with README.md."""

from __future__ import annotations

from typing import Protocol

from providers.calls import CallObserver
from providers.import_lock import IMPORT_LOCK
from providers.mailer import Mailer


class SendGridSettings(Protocol):
    """The settings that are read here."""

    sendgrid_api_url: str
    sendgrid_api_key: str


def build_mailer(settings: SendGridSettings, calls: CallObserver) -> Mailer:
    """Build the mailer from these settings."""
    with IMPORT_LOCK:
        from providers.sendgrid.mailer import SendGridMailer  # noqa: PLC0415 - its libraries load when an email is sent

    return SendGridMailer(settings.sendgrid_api_url, settings.sendgrid_api_key, calls)


MAILER = build_mailer
