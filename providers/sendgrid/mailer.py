"""Sends through SendGrid, finds again what was sent, and asks whom it no longer mails.

SendGrid has no idempotency key: a mail whose answer is lost is never sent again here, it is ``Unknown``. Only 202 with
an ``X-Message-Id`` is a success. The table of answers is in README.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec
import requests
from msgspec import Struct

from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, ProviderError
from providers.http import (
    EMAIL,
    READ,
    TransportLimits,
    Vendor,
    ambiguous_reply_error,
    hosts_of,
    install_transport,
    require_json,
)
from providers.ledger import CallObserver
from providers.mailer import Email, SendReceipt
from providers.sendgrid.client import KEY_ARG, build_payload

SEARCH_BEFORE: Final = timedelta(minutes=10)  # clocks differ
SEARCH_AFTER: Final = timedelta(days=1)
SEARCH_MAX: Final = 100
READ_TIMEOUT_S: Final = 30
_MESSAGE_LENGTH_MAX = 300
_SUPPRESSION_LISTS: Final = {
    "suppression/bounces": "its mail bounced",
    "suppression/invalid_emails": "SendGrid takes it for invalid",
    "suppression/spam_reports": "its owner reported a mail as spam",
    "asm/suppressions/global": "its owner unsubscribed from everything",
}

T = TypeVar("T")


class _Problem(Struct):
    message: str | None = None
    field: str | None = None


class _Problems(Struct):
    errors: list[_Problem] = []


class _Message(Struct):
    sg_message_id: str


class _Messages(Struct):
    messages: list[_Message] = []


class _Detail(Struct):
    custom_args: dict[str, object] = {}


class _Suppression(Struct):
    reason: str | None = None
    recipient_email: str | None = None


class SendGridMailer:
    """The mailer port over SendGrid's v3 API."""

    name = "SendGrid"
    can_find_sent = True

    def __init__(self, api_url: str, api_key: str, calls: CallObserver, limits: TransportLimits | None = None) -> None:
        self._api = f"{api_url}/v3"
        self._vendor = Vendor(
            "SendGrid",
            hosts_of(api_url),
            "X-Message-Id",
            default_retry_after=timedelta(minutes=1),
            reset_header="X-RateLimit-Reset",
        )
        self._session = requests.Session()
        install_transport(
            self._session, self._vendor, calls, _call_kind, limits or TransportLimits(read_timeout_s=READ_TIMEOUT_S)
        )
        self._session.headers["Authorization"] = f"Bearer {api_key}"

    def send(self, email: Email) -> SendReceipt:
        """Send once."""
        response = self._session.post(f"{self._api}/mail/send", json=build_payload(email))
        reference = response.headers.get("X-Message-Id", "")
        if response.status_code == requests.codes.accepted and reference:
            return SendReceipt(reference)
        if response.ok:
            raise OutcomeUnknown(
                f"SendGrid answered {response.status_code} without an id for the mail; it may have been sent",
                trace_id=reference,
            )
        raise _refusal_error(response)

    def find_sent(self, key: str, to: tuple[str, ...], since_at: datetime) -> SendReceipt | None:
        """Look into the e-mail logs, by address and time, for a mail that carries this key."""
        for address in to:
            for message_id in self._find_message_ids(address, since_at):
                response = self._session.get(f"{self._api}/logs/{quote(message_id, safe='')}")
                if response.status_code == requests.codes.not_found:
                    continue
                detail = self._decode(response, _Detail)
                if detail.custom_args.get(KEY_ARG) == key:
                    return SendReceipt(message_id)
        return None

    def get_suppression_reason(self, address: str) -> str:
        """Why SendGrid drops mail to this address, which it answers with 202 all the same."""
        for where, reason in _SUPPRESSION_LISTS.items():
            response = self._session.get(f"{self._api}/{where}/{quote(address, safe='')}")
            if response.status_code in {requests.codes.forbidden, requests.codes.not_found}:
                continue  # nothing there; or the API key may only send, which is a good habit
            found = self._list_entry(response)
            if found is not None:
                return f"{reason} ({found.reason[:_MESSAGE_LENGTH_MAX]})" if found.reason else reason
        return ""

    def _find_message_ids(self, address: str, since_at: datetime) -> list[str]:
        first, last = since_at - SEARCH_BEFORE, since_at + SEARCH_AFTER
        conditions = (
            f"to_email = {_quoted(address)}",
            f'sg_message_id_created_at >= TIMESTAMP "{_format_instant(first)}"',
            f'sg_message_id_created_at <= TIMESTAMP "{_format_instant(last)}"',
        )
        asked = {"query": " AND ".join(conditions), "limit": SEARCH_MAX}
        found = self._decode(self._session.post(f"{self._api}/logs", json=asked), _Messages)
        return [message.sg_message_id for message in found.messages]

    def _list_entry(self, response: requests.Response) -> _Suppression | None:
        """The entry of a suppression list; the global one is an object, empty where there is none."""
        if response.content.lstrip().startswith(b"["):
            return next(iter(self._decode(response, list[_Suppression])), None)
        entry = self._decode(response, _Suppression)
        return entry if entry.recipient_email else None

    def _decode(self, response: requests.Response, schema: type[T]) -> T:
        if not response.ok:
            raise _refusal_error(response)
        try:
            return msgspec.json.decode(require_json(response, self._vendor, READ), type=schema)
        except msgspec.MsgspecError as error:
            raise ambiguous_reply_error(READ, f"SendGrid's answer is not as documented: {error}") from None


def _call_kind(request: requests.PreparedRequest) -> str:
    """Only sending has an effect; the logs are asked by POST to keep addresses out of URLs."""
    return EMAIL if str(request.url).endswith("/mail/send") else READ


def _refusal_error(response: requests.Response) -> ProviderError:
    """A definite no, in SendGrid's words. A bad key or sender stops every mail, not only this one."""
    status = response.status_code
    message = f"SendGrid refused ({status}): {_error_text(response.content)}"
    if status in {requests.codes.unauthorized, requests.codes.forbidden}:
        return AuthorizationExpired(
            f"{message}. Look at SENDGRID_API_KEY, its permissions, and whether MAIL_FROM is verified"
        )
    return PermanentError(message, code=str(status))


def _error_text(body: bytes) -> str:
    try:
        problems = msgspec.json.decode(body, type=_Problems).errors
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "no reason given"
    said = [f"{one.message} ({one.field})" if one.field else one.message or "" for one in problems]
    return "; ".join(filter(None, said))[:_MESSAGE_LENGTH_MAX] or "no reason given"


def _quoted(address: str) -> str:
    """Either quote is allowed; how one within would be escaped is not documented, and o'neil@example.com exists."""
    return f'"{address}"' if "'" in address else f"'{address}'"


def _format_instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
