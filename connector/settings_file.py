"""The ``.env`` in duewell's home: what `duewell setup` asks for and writes there, readable by its owner alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dotenv.parser import parse_stream
from pydantic import ValidationError

from connector.settings import Settings


class SetupQuestion(NamedTuple):
    """A setting with what to copy from where. It makes no sense without the one that ``belongs_to`` names."""

    name: str
    text: str
    is_secret: bool = False
    belongs_to: str = ""


SETUP_QUESTIONS = (
    SetupQuestion("XERO_CLIENT_ID", "Xero client id (developer.xero.com, My Apps)"),
    SetupQuestion(
        "XERO_CLIENT_SECRET",
        "Xero client secret (of a web app; it is not shown)",
        is_secret=True,
        belongs_to="XERO_CLIENT_ID",
    ),
    SetupQuestion("QUICKBOOKS_CLIENT_ID", "QuickBooks client id (developer.intuit.com, Keys & credentials)"),
    SetupQuestion(
        "QUICKBOOKS_CLIENT_SECRET",
        "QuickBooks client secret (it is not shown)",
        is_secret=True,
        belongs_to="QUICKBOOKS_CLIENT_ID",
    ),
    SetupQuestion("SENDGRID_API_KEY", "SendGrid API key (Settings, API Keys; it is not shown)", is_secret=True),
    SetupQuestion("MAIL_FROM", "Address that emails are sent from, such as billing@example.com"),
    SetupQuestion("MAIL_FROM_NAME", "Name of the sender, such as your company", belongs_to="MAIL_FROM"),
    SetupQuestion("MAIL_REPLY_TO", "Address that replies go to, if it is another one", belongs_to="MAIL_FROM"),
)


def check_value(name: str, value: str) -> str:
    """Return what is wrong with a setting's value, "" if nothing is."""
    if any(ord(character) < ord(" ") for character in value):
        return "must be one line of plain text"
    try:
        Settings.model_validate({name.lower(): value})
    except ValidationError as error:
        own = [each for each in error.errors() if name.lower() in each["loc"]]
        return str(own[0]["msg"]).removeprefix("Value error, ") if own else ""
    return ""


def write_settings(file: Path, values: Mapping[str, str]) -> None:
    """Write settings to a file, in one step; its other lines and comments stay, and nobody else can read it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = [] if not file.exists() else _other_lines(file, values)
    lines = [*kept, *(f"{name}={_quoted(value)}\n" for name, value in values.items())]
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".env-")  # mode 0600 from the start
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.writelines(lines)
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _other_lines(file: Path, values: Mapping[str, str]) -> list[str]:
    with file.open(encoding="utf-8") as lines:
        kept = [each.original.string for each in parse_stream(lines) if each.key not in values]
    text = "".join(kept)
    return [text if not text or text.endswith("\n") else f"{text}\n"]


def _quoted(value: str) -> str:
    """Return a value as a .env file holds it: in single quotes, in which nothing but these has a meaning."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
