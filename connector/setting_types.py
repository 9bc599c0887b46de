"""The kinds of values that settings have, each with its check and a message that says what it must be."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

import providers

_DATABASES = ("sqlite", "postgresql")
_KEY_BYTES = 32


def is_loopback_host(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_publicly_reachable(base_url: str) -> bool:
    """Return whether a customer can open an address: it is https, and neither this machine nor a private network."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if parts.scheme != "https" or is_loopback_host(host) or host.endswith((".local", ".internal", ".lan")):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = "must be a web address like https://example.com"
        raise ValueError(message)
    if parts.username or parts.password or parts.fragment or parts.port == 0:
        message = "must not hold a user, a password or a fragment"
        raise ValueError(message)
    return value


def _without_slash(value: str) -> str:
    return value.rstrip("/")


def _secure_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        message = "must begin with https:// (http only for a server on this machine): tokens travel to it"
        raise ValueError(message)
    return value


def _no_path(value: str) -> str:
    parts = urlsplit(value)
    if parts.path or parts.query:
        message = "must name a host only, without a path"
        raise ValueError(message)
    return value


def _database_url(value: str) -> str:
    try:
        url = make_url(value)
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() not in _DATABASES or not url.database:
        message = "must be sqlite:///path/to/file or postgresql+psycopg://user:password@host/database"
        raise ValueError(message)
    return value


def parse_secret_keys(value: str) -> list[bytes]:
    """Decode comma-separated keys, newest first. Raises ``ValueError`` with a message that does not show them."""
    keys = []
    for key in filter(None, (part.strip() for part in value.split(","))):
        try:
            decoded = base64.b64decode(key + "=" * (-len(key) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if len(decoded) != _KEY_BYTES:
            message = "must be comma-separated keys of 32 bytes each, in URL-safe base64, newest first"
            raise ValueError(message)
        keys.append(decoded)
    return keys


def _secret_keys(value: str) -> str:
    parse_secret_keys(value)
    return value


def _email_address(value: str) -> str:
    name, at, domain = value.rpartition("@")
    if not (name and at and domain) or any(character in value for character in ' \t\r\n<>,;"'):
        message = "must be one email address like billing@example.com"
        raise ValueError(message)
    return value


def _domain(value: str) -> str:
    if not re.fullmatch(r"(?=.{4,200}$)([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]+", value.lower()):
        message = "must be a domain like reply.example.com"
        raise ValueError(message)
    return value.lower()


def _host_names(value: str) -> str:
    names = [name.strip().lower() for name in value.split(",") if name.strip()]
    if not all(re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name) for name in names):
        message = "must be comma-separated host names like login.example.com"
        raise ValueError(message)
    return ",".join(names)


def _senders(value: str) -> str:
    names = [name.strip().lower().removeprefix("@") for name in value.split(",") if name.strip()]
    if not all(re.fullmatch(r"([^@\s<>,]+@)?[a-z0-9-]+(\.[a-z0-9-]+)+", name) for name in names):
        message = "must be comma-separated addresses or domains like statements@bank.example or bank.example"
        raise ValueError(message)
    return ",".join(names)


def _path_segment(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}", value):
        message = "must be the id or the domain of your organisation, organizations, consumers or common"
        raise ValueError(message)
    return value


def _mailer(value: str) -> str:
    names = providers.list_mailer_names()
    if value.lower() not in names:
        message = f"must be one of {', '.join(names)}"
        raise ValueError(message)
    return value.lower()


def _one_line(value: str) -> str:
    if any(ord(character) < ord(" ") for character in value):
        message = "must be one line of plain text"
        raise ValueError(message)
    return value


def _smtp_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/"):
        message = "must be smtp://user:password@host:587 or smtps://user:password@host:465"
        raise ValueError(message)
    return value


WebAddress = Annotated[str, AfterValidator(_web_address), AfterValidator(_without_slash)]
VendorDocument = Annotated[str, AfterValidator(_web_address), AfterValidator(_secure_address)]  # read exactly as given
VendorAddress = Annotated[VendorDocument, AfterValidator(_without_slash)]
VendorHost = Annotated[VendorAddress, AfterValidator(_no_path)]
EmailAddress = Annotated[str, AfterValidator(_email_address)]
SingleLine = Annotated[str, AfterValidator(_one_line)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
SecretKeys = Annotated[str, AfterValidator(_secret_keys)]
DomainName = Annotated[str, AfterValidator(_domain)]
HostNames = Annotated[str, AfterValidator(_host_names)]
Senders = Annotated[str, AfterValidator(_senders)]
PathSegment = Annotated[str, AfterValidator(_path_segment)]
MailerName = Annotated[str, AfterValidator(_mailer)]
SmtpUrl = Annotated[str, AfterValidator(_smtp_url)]
