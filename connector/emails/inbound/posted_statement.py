"""An email with a bank statement as SendGrid posts it: who sent it, who signed it, and what is attached."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.utils import getaddresses
from pathlib import PurePosixPath

from connector.emails.inbound.posted_email import split_form

_FILES_MAX = 20
_NAME_MAX = 80
_DKIM = re.compile(r"@([a-z0-9.-]{1,253})\s*:\s*([a-z]{1,20})")
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._-]+")
# What stands beside a statement in a bank's email: its logo, a copy for people, a signature.
_NO_STATEMENTS = frozenset(
    {".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf", ".htm", ".html", ".ics", ".vcf", ".p7s", ".asc"}
)


@dataclass(frozen=True, slots=True)
class StatementEmail:
    """An email; ``signed_by`` are the domains whose DKIM signature SendGrid found right."""

    sender: str  # "" where it names none, or several
    signed_by: tuple[str, ...]
    files: tuple[tuple[str, bytes], ...]

    def is_from(self, allowed: str) -> bool:
        """Return whether one of these addresses or domains (with commas) sent it, as its domain's signature proves."""
        domain = self.sender.rpartition("@")[2]
        if not domain or not any(_is_of(domain, each) or _is_of(each, domain) for each in self.signed_by):
            return False
        return bool({self.sender, domain}.intersection(allowed.split(",")))


def read_posted_statement(boundary: str, content: bytes) -> StatementEmail:
    """Parse an email that was posted with this boundary, in parts or whole."""
    fields: dict[str, bytes] = {}
    files: list[tuple[str, bytes]] = []
    for part in split_form(boundary, content):
        if part.file_name:
            files.append((part.file_name, part.content))
        else:
            fields[part.name] = part.content
    senders = [fields.get("from", b"").decode("utf-8", "replace")]
    if "email" in fields:
        message = message_from_bytes(fields["email"])
        senders, files = [str(each) for each in message.get_all("From", [])], list(_attached(message))
    addresses = {address.strip().lower() for _name, address in getaddresses(senders)}
    dkim = fields.get("dkim", b"").decode("ascii", "replace").lower()
    return StatementEmail(
        sender=addresses.pop() if len(addresses) == 1 else "",
        signed_by=tuple(domain for domain, result in _DKIM.findall(dkim) if result == "pass"),
        files=tuple((_safe_name(name), found) for name, found in files if _may_be_statement(name))[:_FILES_MAX],
    )


def _attached(message: Message) -> Iterator[tuple[str, bytes]]:
    for part in message.walk():
        content = part.get_payload(decode=True)
        if (name := part.get_filename()) and isinstance(content, bytes):
            yield name, content


def _may_be_statement(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() not in _NO_STATEMENTS


def _safe_name(name: str) -> str:
    """Return a name that is one of a file in a folder, whatever an email calls it."""
    return _UNSAFE.sub("_", name.replace("\\", "/").rpartition("/")[2])[-_NAME_MAX:].lstrip(" .-_") or "statement"


def _is_of(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")
