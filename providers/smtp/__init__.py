"""Any SMTP server behind the mailer port. Start with README.md."""

from __future__ import annotations

from typing import Protocol

from providers.calls import CallObserver
from providers.mailer import Mailer
from providers.smtp.mailer import SmtpMailer


class SmtpSettings(Protocol):
    """The settings that are read here."""

    smtp_url: str


def build_mailer(settings: SmtpSettings, calls: CallObserver) -> Mailer:
    """Build the mailer from these settings."""
    return SmtpMailer(settings.smtp_url, calls)


MAILER = build_mailer
