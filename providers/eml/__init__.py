"""A folder of ``.eml`` files behind the mailer port. Start with README.md."""

from __future__ import annotations

from typing import Any

from providers.calls import CallObserver
from providers.eml.mailer import EmlMailer
from providers.mailer import Mailer


def build_mailer(settings: Any, calls: CallObserver) -> Mailer:
    """Build the mailer from these settings."""
    return EmlMailer(settings.eml_folder, calls)


MAILER = build_mailer
