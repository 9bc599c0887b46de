"""A folder of ``.eml`` files behind the mailer port. Start with README.md."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from providers.calls import CallObserver
from providers.eml.mailer import EmlMailer
from providers.mailer import Mailer


class EmlSettings(Protocol):
    """The settings that are read here."""

    eml_folder: Path


def build_mailer(settings: EmlSettings, calls: CallObserver) -> Mailer:
    """Build the mailer from these settings."""
    return EmlMailer(settings.eml_folder, calls)


MAILER = build_mailer
