"""A folder of ``.eml`` files behind the mailer port. Start with README.md."""

from __future__ import annotations

from typing import Any

from providers.eml.mailer import EmlMailer
from providers.ledger import Calls
from providers.mailer import Mailer


def make(settings: Any, calls: Calls) -> Mailer:
    """Make the mailer of these settings."""
    return EmlMailer(settings.eml_folder, calls)


MAILER = make
