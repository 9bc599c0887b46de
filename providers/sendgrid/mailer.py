"""Sends emails through SendGrid, finds those already sent, and reads its suppression lists.

SendGrid has no idempotency key: an email whose reply is lost is never sent again here, its outcome is unknown. Only a
202 with an ``X-Message-Id`` is a success. README.md lists the replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
import requests
from msgspec import Struct

from providers.calls import CallKind, CallObserver
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, ProviderError
from providers.http import Service, TransportLimits, ambiguous_reply_error, hosts_of, install_transport, require_json
from providers.import_lock import IMPORT_LOCK
from providers.mailer import Email, SendReceipt, Suppression
from providers.sendgrid.custom_args import KEY_ARG

SEARCH_BEFORE: Final = timedelta(minutes=10)  # clocks differ
SEARCH_AFTER: Final = timedelta(days=1)
SEARCH_MAX: Final = 100
READ_TIMEOUT_S: Final = 30
_MESSAGE_LENGTH_MAX = 300
LIST_PAGE_SIZE: Final = 500  # the maximum of a suppression list
_NOT_READABLE: Final = frozenset({403, 404})  # not listed; or the API key may only send, which is good practice

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
    email: str = ""
    reason: str | None = None
    recipient_email: str | None = None
    created: int = 0


class _SuppressionList(NamedTuple):
    """A list of addresses: where all and one of them are read, and what it means to be on it."""

    path: str
    path_of_one: str
    reason: str
    is_refusal: bool = False  # an email came back: the address is no good

    def describe(self, entry: _Suppression) -> Suppression:
        """Return why the address of an entry gets no email."""
        text = f"{self.reason} ({entry.reason[:_MESSAGE_LENGTH_MAX]})" if entry.reason else self.reason
        came_back = self.is_refusal and entry.created
        return Suppression(text, datetime.fromtimestamp(entry.created, UTC) if came_back else None)


_SUPPRESSION_LISTS: Final = (
    _SuppressionList("suppression/bounces", "suppression/bounces", "email to it bounced", is_refusal=True),
    _SuppressionList(
        "suppression/invalid_emails", "suppression/invalid_emails", "SendGrid considers it invalid", is_refusal=True
    ),
    _SuppressionList("suppression/spam_reports", "suppression/spam_reports", "the recipient reported an email as spam"),
    _SuppressionList(
        "suppression/unsubscribes", "asm/suppressions/global", "the recipient unsubscribed from all emails"
    ),
)


class SendGridMailer:
    """The mailer port over SendGrid's v3 API."""

    name = "SendGrid"
    can_find_sent = True

    def __init__(self, api_url: str, api_key: str, calls: CallObserver, limits: TransportLimits | None = None) -> None:
        self._api = f"{api_url}/v3"
        self._service = Service(
            "SendGrid",
            hosts_of(api_url),
            "X-Message-Id",
            default_retry_after=timedelta(minutes=1),
            reset_header="X-RateLimit-Reset",
        )
        self._session = requests.Session()
        install_transport(
            self._session, self._service, calls, _call_kind, limits or TransportLimits(read_timeout_s=READ_TIMEOUT_S)
        )
        self._session.headers["Authorization"] = f"Bearer {api_key}"

    def send(self, email: Email) -> SendReceipt:
        """Send the email once."""
        with IMPORT_LOCK:
            from providers.sendgrid.client import build_payload  # noqa: PLC0415 - the SDK; a quiet sync sends nothing

        response = self._session.post(f"{self._api}/mail/send", json=build_payload(email))
        reference = response.headers.get("X-Message-Id", "")
        if response.status_code == requests.codes.accepted and reference:
            return SendReceipt(reference)
        if response.ok:
            raise OutcomeUnknown(
                f"SendGrid replied {response.status_code} without an id for the email; it may have been sent",
                trace_id=reference,
            )
        raise _refusal_error(response)

    def find_sent(self, key: str, to: tuple[str, ...], since_at: datetime) -> SendReceipt | None:
        """Search the email logs, by address and time, for an email with this key."""
        for address in to:
            for message_id in self._find_message_ids(address, since_at):
                response = self._session.get(f"{self._api}/logs/{quote(message_id, safe='')}")
                if response.status_code == requests.codes.not_found:
                    continue
                detail = self._decode(response, _Detail)
                if detail.custom_args.get(KEY_ARG) == key:
                    return SendReceipt(message_id)
        return None

    def find_suppressions(self, addresses: Sequence[str]) -> dict[str, Suppression]:
        """Return why SendGrid drops email to some of these addresses, although it replies 202."""
        found: dict[str, Suppression] = {}
        for suppression_list in _SUPPRESSION_LISTS:
            for address, entry in self._find_listed(suppression_list, addresses).items():
                found.setdefault(address, suppression_list.describe(entry))
        return found

    def _find_listed(self, suppressions: _SuppressionList, addresses: Sequence[str]) -> dict[str, _Suppression]:
        """Read a list from its newest page on; one with more pages than there are addresses is asked for each."""
        by_low = {address.strip().lower(): address for address in addresses}
        found: dict[str, _Suppression] = {}
        for page in range(max(1, len(addresses))):
            params = {"limit": LIST_PAGE_SIZE, "offset": page * LIST_PAGE_SIZE}
            response = self._session.get(f"{self._api}/{suppressions.path}", params=params)
            if response.status_code in _NOT_READABLE:
                return {}
            entries = self._decode(response, list[_Suppression])
            listed = ((by_low.get(entry.email.strip().lower()), entry) for entry in entries)
            found |= {address: entry for address, entry in listed if address is not None}
            if len(entries) < LIST_PAGE_SIZE:
                return found
        for address in addresses:
            entry = self._find_entry(suppressions, address)
            if entry is not None:
                found[address] = entry
        return found

    def _find_entry(self, suppressions: _SuppressionList, address: str) -> _Suppression | None:
        response = self._session.get(f"{self._api}/{suppressions.path_of_one}/{quote(address, safe='')}")
        if response.status_code in _NOT_READABLE:
            return None
        return self._list_entry(response)

    def _find_message_ids(self, address: str, since_at: datetime) -> list[str]:
        first, last = since_at - SEARCH_BEFORE, since_at + SEARCH_AFTER
        conditions = (
            f"to_email = {_quoted(address)}",
            f'sg_message_id_created_at >= TIMESTAMP "{_format_instant(first)}"',
            f'sg_message_id_created_at <= TIMESTAMP "{_format_instant(last)}"',
        )
        search = {"query": " AND ".join(conditions), "limit": SEARCH_MAX}
        found = self._decode(self._session.post(f"{self._api}/logs", json=search), _Messages)
        return [message.sg_message_id for message in found.messages]

    def _list_entry(self, response: requests.Response) -> _Suppression | None:
        """Return the entry of a suppression list; the global one replies with an object, empty if there is none."""
        if response.content.lstrip().startswith(b"["):
            return next(iter(self._decode(response, list[_Suppression])), None)
        entry = self._decode(response, _Suppression)
        return entry if entry.recipient_email else None

    def _decode(self, response: requests.Response, schema: type[T]) -> T:
        if not response.ok:
            raise _refusal_error(response)
        try:
            return msgspec.json.decode(require_json(response, self._service, CallKind.READ), type=schema)
        except msgspec.MsgspecError as error:
            raise ambiguous_reply_error(CallKind.READ, f"SendGrid's reply is not as documented: {error}") from None


def _call_kind(request: requests.PreparedRequest) -> CallKind:
    """Return EMAIL for sending, else READ: the logs are searched by POST to keep addresses out of URLs."""
    return CallKind.EMAIL if str(request.url).endswith("/mail/send") else CallKind.READ


def _refusal_error(response: requests.Response) -> ProviderError:
    """Return the error for a rejection, with SendGrid's message. A wrong key or sender stops all emails."""
    status = response.status_code
    message = f"SendGrid rejected the call ({status}): {_error_text(response.content)}"
    if status in {requests.codes.unauthorized, requests.codes.forbidden}:
        return AuthorizationExpired(
            f"{message}. Check SENDGRID_API_KEY, its permissions, and whether MAIL_FROM is verified"
        )
    return PermanentError(message, code=str(status))


def _error_text(body: bytes) -> str:
    try:
        problems = msgspec.json.decode(body, type=_Problems).errors
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "no reason given"
    messages = [f"{one.message} ({one.field})" if one.field else one.message or "" for one in problems]
    return "; ".join(filter(None, messages))[:_MESSAGE_LENGTH_MAX] or "no reason given"


def _quoted(address: str) -> str:
    """Return the address in quotes of either kind: escaping is not documented, and o'neil@example.com exists."""
    return f'"{address}"' if "'" in address else f"'{address}'"


def _format_instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
