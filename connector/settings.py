"""The settings of an installation: read and checked once at the start; a bad one is refused in one line."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url

from connector.setting_types import (
    DatabaseUrl,
    DomainName,
    EmailAddress,
    HostNames,
    MailerName,
    PathSegment,
    SecretKeys,
    Senders,
    SingleLine,
    SmtpUrl,
    VendorAddress,
    VendorDocument,
    VendorHost,
    WebAddress,
    is_loopback_host,
)

XERO_SCOPES = (
    "openid profile email offline_access accounting.settings.read accounting.contacts.read"
    " accounting.payments.read accounting.invoices"
)
QUICKBOOKS_DISCOVERY_URLS = {
    "production": "https://developer.api.intuit.com/.well-known/openid_configuration",
    "sandbox": "https://developer.api.intuit.com/.well-known/openid_sandbox_configuration",
}
QUICKBOOKS_API_URLS = {
    "production": "https://quickbooks.api.intuit.com",
    "sandbox": "https://sandbox-quickbooks.api.intuit.com",
}
_POSIX = sys.platform != "win32"
_ENCRYPTED_MODES = frozenset({"require", "verify-ca", "verify-full"})
log = logging.getLogger("duewell.settings")


class SettingsError(Exception):
    """A setting that is unknown or has a bad value; ``str()`` is the one line that names it."""


class Settings(BaseSettings):
    """The settings; ``XERO_CLIENT_ID`` is the attribute ``xero_client_id``. An empty value means it is not set."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, validate_default=False, env_file_encoding="utf-8"
    )

    duewell_home: Path = Field(default_factory=lambda: user_data_path("duewell", appauthor=False))
    duewell_database_url: DatabaseUrl = Field(default="", repr=False)
    duewell_database_pooler: Literal["0", "1"] = "0"
    duewell_secret_keys: SecretKeys = Field(default="", repr=False)
    duewell_base_url: WebAddress = "http://localhost:8710"
    duewell_interval_minutes: int = Field(default=60, ge=1, le=7 * 24 * 60)
    duewell_webhooks: Literal["off", "public", "private"] = "off"
    duewell_strict: Literal["0", "1"] = "0"
    duewell_bank_folder: Path | None = None
    duewell_bank_senders: Senders = ""

    xero_client_id: SingleLine = ""
    xero_client_secret: SingleLine = Field(default="", repr=False)
    xero_scopes: SingleLine = XERO_SCOPES
    xero_login_url: VendorHost = "https://login.xero.com"
    xero_identity_url: VendorHost = "https://identity.xero.com"
    xero_api_url: VendorHost = "https://api.xero.com"
    xero_webhook_key: SingleLine = Field(default="", repr=False)

    quickbooks_client_id: SingleLine = ""
    quickbooks_client_secret: SingleLine = Field(default="", repr=False)
    quickbooks_environment: Literal["production", "sandbox"] = "production"
    quickbooks_discovery_url: VendorDocument = ""
    quickbooks_api_url: VendorHost = ""
    quickbooks_reads_a_month: int = Field(default=500_000, ge=1)  # of Intuit's free tier
    quickbooks_webhook_token: SingleLine = Field(default="", repr=False)

    sendgrid_api_key: SingleLine = Field(default="", repr=False)
    sendgrid_api_url: VendorHost = "https://api.sendgrid.com"
    sendgrid_webhook_public_key: str = ""
    sendgrid_inbound_public_key: str = ""
    microsoft365_client_id: SingleLine = ""
    microsoft365_client_secret: SingleLine = Field(default="", repr=False)
    microsoft365_tenant: PathSegment = "organizations"
    microsoft365_login_url: VendorHost = "https://login.microsoftonline.com"
    microsoft365_api_url: VendorHost = "https://graph.microsoft.com"
    gmail_client_id: SingleLine = ""
    gmail_client_secret: SingleLine = Field(default="", repr=False)
    gmail_login_url: VendorHost = "https://accounts.google.com"
    gmail_identity_url: VendorHost = "https://oauth2.googleapis.com"
    gmail_api_url: VendorHost = "https://gmail.googleapis.com"
    smtp_url: SmtpUrl = Field(default="", repr=False)
    eml_folder: Path | None = None

    oidc_issuer: VendorAddress = ""
    oidc_client_id: SingleLine = ""
    oidc_client_secret: SingleLine = Field(default="", repr=False)
    oidc_hosts: HostNames = ""
    oidc_acr_values: SingleLine = ""

    mail_service: MailerName = ""
    mail_from: EmailAddress = ""
    mail_from_name: SingleLine = ""
    mail_reply_to: EmailAddress = ""
    mail_reply_domain: DomainName = ""

    def oidc_host_names(self) -> list[str]:
        """Return the hosts at which the single sign-on service has endpoints, besides the issuer's."""
        return [name for name in self.oidc_hosts.split(",") if name]

    @model_validator(mode="before")
    @classmethod
    def _choose_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Set the defaults that depend on other settings: the database in the home, Intuit's hosts by environment."""
        home = Path(values.get("duewell_home") or user_data_path("duewell", appauthor=False)).expanduser().absolute()
        url = str(values.get("duewell_database_url") or "sqlite:///$DUEWELL_HOME/duewell.db")
        environment = str(values.get("quickbooks_environment") or "production")
        chosen = {
            "duewell_home": home,
            "duewell_database_url": url.replace("$DUEWELL_HOME", home.as_posix()),
            "quickbooks_discovery_url": QUICKBOOKS_DISCOVERY_URLS.get(environment, ""),
            "quickbooks_api_url": QUICKBOOKS_API_URLS.get(environment, ""),
        }
        kept = {name: value for name, value in values.items() if value not in {"", None}}
        return {**chosen, **kept, "duewell_home": home, "duewell_database_url": chosen["duewell_database_url"]}


def setting_names() -> list[str]:
    """Return the names of all settings as environment variables."""
    return [name.upper() for name in Settings.model_fields]


def load_settings(**overrides: object) -> Settings:
    """Read the environment, then ``.env``, then ``$DUEWELL_HOME/.env``. ``overrides`` take precedence.

    A ``.env`` that others can read or change is reported in the log at every start.

    Raises:
        SettingsError: a setting is unknown or has a bad value, or ``DUEWELL_STRICT`` refuses such a ``.env``.

    """
    local = Path(".env")
    home = overrides.get("duewell_home") or _lookup("DUEWELL_HOME", local) or user_data_path("duewell", appauthor=False)
    files = [Path(str(home)).expanduser() / ".env", local]  # the later takes precedence
    _refuse_unknown(files, overrides)
    try:
        values: dict[str, Any] = {"_env_file": files, **overrides}
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(error))) from None  # the cause would show the value
    for message in filter(
        None, [*map(_describe_exposure, files), describe_database_line(settings.duewell_database_url)]
    ):
        if settings.duewell_strict == "1":
            raise SettingsError(message)
        log.warning(message)
    return settings


def describe_database_line(database_url: str) -> str:
    """Return what is wrong with the line to a database server; "" if nothing is."""
    url = make_url(database_url)
    sockets = not url.host or url.host.startswith("/")
    if url.get_backend_name() == "sqlite" or sockets or is_loopback_host(url.host or ""):
        return ""
    mode = str(url.query.get("sslmode", "") or os.environ.get("PGSSLMODE", ""))
    if mode in _ENCRYPTED_MODES:
        return ""
    return "the line to the database may be unencrypted; add ?sslmode=verify-full to DUEWELL_DATABASE_URL"


def _trusted_users() -> set[int]:
    return {os.getuid(), 0}


def _describe_exposure(file: Path) -> str:
    """Return what is wrong with the access to a file of settings, which may hold every secret; "" if nothing is."""
    try:
        state = file.stat()
    except OSError:
        return ""
    if _POSIX and state.st_uid not in _trusted_users():
        return f"{file.absolute()} belongs to another user, who decides what is in it; replace it with one of your own"
    if _POSIX and state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"other users of this machine can read {file.absolute()}; fix it with: chmod 600 '{file.absolute()}'"
    return ""


def _lookup(name: str, file: Path) -> str | None:
    return os.environ.get(name) or dotenv_values(file).get(name)


def _refuse_unknown(files: list[Path], overrides: dict[str, object]) -> None:
    known = set(setting_names())
    sources = [("the environment", set(os.environ)), *((str(file), set(dotenv_values(file))) for file in files)]
    for source, names in sources:
        for name in sorted(names):
            if name.upper().startswith("DUEWELL_") and name.upper() not in known:
                message = f"{name} (in {source}) is not a setting of duewell"
                raise SettingsError(message)
    for name in overrides:
        if name.upper() not in known:
            message = f"{name.upper()} is not a setting of duewell"
            raise SettingsError(message)


def _describe(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_input=False, include_url=False):
        text = problem["msg"].removeprefix("Value error, ")
        text = text[:1].lower() + text[1:] if problem["type"] != "value_error" else text
        yield f"{str(problem['loc'][0]).upper()}: {text}" if problem["loc"] else text
