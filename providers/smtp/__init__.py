"""Any SMTP server behind the mailer port. Start with README.md."""

from __future__ import annotations

from typing import Any

from providers.calls import CallObserver
from providers.mailer import Mailer
from providers.smtp.mailer import SmtpMailer


def build_mailer(settings: Any, calls: CallObserver) -> Mailer:
    """Build the mailer from these settings."""
    return SmtpMailer(settings.smtp_url, calls)


MAILER = build_mailer
