"""A folder of ``.eml`` files behind the mailer port. Start with README.md."""

from __future__ import annotations

from typing import Any

from providers.eml.mailer import EmlMailer
from providers.ledger import CallObserver
from providers.mailer import Mailer


def build_mailer(settings: Any, calls: CallObserver) -> Mailer:
    """Make the mailer of these settings."""
    return EmlMailer(settings.eml_folder, calls)


MAILER = build_mailer
