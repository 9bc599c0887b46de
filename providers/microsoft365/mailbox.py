"""Sends emails from a mailbox through Microsoft Graph, finds those already sent, and lists what came in.

Emails are sent as MIME, so that our Message-ID is kept: Graph's 202 names no id, and by it the email is found again.
README.md lists the replies and what Exchange does to a message.
"""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec
import requests

from providers.calls import CallKind, CallObserver
from providers.errors import AuthorizationExpired, OutcomeUnknown, PermanentError, TransientError
from providers.http import TransportLimits, ambiguous_reply_error, install_transport, require_json
from providers.mailbox import Arrival, ArrivalPage
from providers.mailer import Email, SendReceipt, Suppression
from providers.message import build_message, message_id
from providers.microsoft365.service import error_code, microsoft_service, refusal_error
from providers.sign_in import AccessToken

READ_TIMEOUT_S: Final = 30
REQUEST_BYTES_MAX: Final = 4 * 10**6  # of the base64 that Graph takes in one request
MESSAGES_A_MINUTE: Final = 28  # Exchange Online takes 30 from a mailbox, the owner's own among them
PAGE_SIZE: Final = 50
_WINDOW_S = 60.0
_IN_REPLY_TO, _REFERENCES, _MESSAGE_CLASS = "String 0x1042", "String 0x1039", "String 0x001A"
_SELECTED = "receivedDateTime,from,conversationId"
_EXPANDED = "singleValueExtendedProperties($filter={})".format(
    " or ".join(f"id eq '{each}'" for each in (_IN_REPLY_TO, _REFERENCES, _MESSAGE_CLASS))
)
# The token of a position is no longer known, however young it is: Microsoft promises no lifetime.
_POSITION_LOST: Final = frozenset(
    {"syncstatenotfound", "syncstateinvalid", "resyncrequired", "errorinvalidsyncstatedata"}
)
_REPORT_SENDERS = ("mailer-daemon@", "postmaster@", "microsoftexchange")

T = TypeVar("T")


class _Address(msgspec.Struct):
    address: str | None = None


class _Recipient(msgspec.Struct, rename="camel"):
    email_address: _Address | None = None


class _Property(msgspec.Struct):
    id: str
    value: str | None = None


class _Message(msgspec.Struct, rename="camel"):
    id: str
    internet_message_id: str | None = None
    is_draft: bool = False
    received_date_time: datetime | None = None
    from_: _Recipient | None = msgspec.field(name="from", default=None)
    conversation_id: str | None = None
    properties: list[_Property] = msgspec.field(name="singleValueExtendedProperties", default_factory=list)
    removed: msgspec.Raw = msgspec.field(name="@removed", default=msgspec.Raw())

    def property_value(self, name: str) -> str:
        """Return an extended property; Graph may write its number without leading zeros and in any case."""
        wanted = _canonical(name)
        return next((each.value or "" for each in self.properties if _canonical(each.id) == wanted), "")


class _Messages(msgspec.Struct):
    value: list[msgspec.Raw]
    next_link: str = msgspec.field(name="@odata.nextLink", default="")
    delta_link: str = msgspec.field(name="@odata.deltaLink", default="")

    def messages(self) -> list[_Message]:
        """Return the messages; an odd one is left out, and stops no other."""
        found = []
        for each in self.value:
            with suppress(msgspec.MsgspecError):
                found.append(msgspec.json.decode(each, type=_Message))
        return found


class Microsoft365Mailbox:
    """The mailbox port over Microsoft Graph."""

    name = "Microsoft 365"
    can_find_sent = True

    def __init__(
        self,
        api_url: str,
        message_domain: str,
        access_token: AccessToken,
        calls: CallObserver,
        limits: TransportLimits | None = None,
    ) -> None:
        """Build the client; ``message_domain`` is that of the Message-IDs."""
        self._api = api_url.rstrip("/")
        self._domain = message_domain
        self._access_token = access_token
        self._calls = calls
        self._limits = limits or TransportLimits(read_timeout_s=READ_TIMEOUT_S)
        self._service = microsoft_service(api_url)
        self._session = requests.Session()
        install_transport(self._session, self._service, calls, _call_kind, self._limits)
        self._sent_at: deque[float] = deque(maxlen=MESSAGES_A_MINUTE)

    def send(self, email: Email) -> SendReceipt:
        """Send the email once; an earlier attempt is searched first, as Graph has sent what it answered with 429."""
        message = build_message(email, with_blind_copies=True)
        content = base64.b64encode(bytes(message))
        if len(content) > REQUEST_BYTES_MAX:
            size, largest = len(content) * 3 // 4 / 10**6, REQUEST_BYTES_MAX * 3 // 4 / 10**6
            text = f"the email with its attachments has {size:.1f} MB, and Microsoft 365 takes {largest:.0f} MB"
            raise PermanentError(f"{text}; nothing was sent", code="size")
        own_id = str(message["Message-ID"])
        if email.attempt > 1 and (known := self._copies(own_id)):
            if any(not each.is_draft for each in known):
                return SendReceipt(own_id)
            text = "Microsoft 365 holds an earlier attempt among the drafts, and may yet send it"
            raise OutcomeUnknown(text)
        self.wait_for_room()
        self._sent_at.append(time.monotonic())
        response = self._request("POST", "/me/sendMail", data=content, headers={"Content-Type": "text/plain"})
        if response.status_code == requests.codes.accepted:
            return SendReceipt(own_id)
        if response.ok:
            raise OutcomeUnknown(f"Microsoft 365 replied {response.status_code} instead of 202; it may have been sent")
        raise refusal_error(response, CallKind.EMAIL)

    def find_sent(self, key: str, to: tuple[str, ...], since_at: datetime) -> SendReceipt | None:
        """Search the mailbox, wherever its owner or a rule has put the email, by our Message-ID."""
        del to, since_at
        own_id = message_id(key, self._domain)
        return SendReceipt(own_id) if any(not each.is_draft for each in self._copies(own_id)) else None

    def find_suppressions(self, addresses: Sequence[str]) -> dict[str, Suppression]:
        """Return none: Exchange has no such list; bounces come into the mailbox."""
        del addresses
        return {}

    def may_send_as(self, sender: str) -> bool | None:
        """Return None: Exchange says so only when an email is sent."""
        del sender
        return None

    def list_arrivals(self, cursor: str, since_at: datetime) -> Iterator[ArrivalPage]:
        """Yield what came into the inbox, by delta query; where Graph forgot the position, begin at ``since_at``."""
        beginning = _first_path(since_at)
        path, restarted = cursor or beginning, False
        while True:
            response = self._request(
                "GET", path, headers={"Prefer": f'odata.maxpagesize={PAGE_SIZE}, IdType="ImmutableId"'}
            )
            if path != beginning and not restarted and _is_position_lost(response):
                path, restarted = beginning, True
                continue
            page = self._decode(response, _Messages)
            path = self._relative(page.next_link or page.delta_link)
            yield ArrivalPage([_arrival(each) for each in page.messages() if _is_arrival(each)], path, restarted)
            if not page.next_link:
                return

    def read_arrival(self, arrival_id: str) -> bytes | None:
        """Return the message as MIME."""
        path = f"/me/messages/{quote(arrival_id, safe='')}/$value"
        response = self._request("GET", path, headers={"Prefer": 'IdType="ImmutableId"'})
        if response.status_code == requests.codes.not_found:
            return None
        if not response.ok:
            raise refusal_error(response, CallKind.READ)
        return response.content

    def _copies(self, own_id: str) -> list[_Message]:
        """Return the mailbox's copies of this email; a draft may be one that Exchange never sends, or sends later."""
        params = {
            "$filter": f"internetMessageId eq '{own_id}'",
            "$select": "id,internetMessageId,isDraft",
            "$top": "10",
        }
        found = self._decode(self._request("GET", "/me/messages", params=params), _Messages).messages()
        return [each for each in found if each.internet_message_id == own_id]

    def _request(self, method: str, path: str, **options: object) -> requests.Response:
        """Call Graph; once more with a new token where it rejects the token, which sends nothing."""
        response = self._call(method, path, self._token(None), **options)
        if response.status_code == requests.codes.unauthorized:
            rejected = str(response.request.headers.get("Authorization", "")).removeprefix("Bearer ")
            response = self._call(method, path, self._token(rejected), **options)
        return response

    def _call(self, method: str, path: str, token: str, **options: object) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}", **dict(options.pop("headers", {}))}  # type: ignore[call-overload]
        return self._session.request(method, f"{self._api}/v1.0{path}", headers=headers, **options)  # type: ignore[arg-type]

    def _token(self, rejected: str | None) -> str:
        """Return the access token. Its failures say nothing about the email, of which nothing was sent yet."""
        try:
            return self._access_token(rejected_token=rejected)
        except OutcomeUnknown as error:
            raise TransientError(f"no access token could be had ({error})", trace_id=error.trace_id) from None
        except PermanentError as error:
            raise AuthorizationExpired(str(error), trace_id=error.trace_id) from None

    def wait_for_room(self) -> None:
        """Wait until fewer emails were sent within a minute than Exchange takes; stop where the program does."""
        while len(self._sent_at) == MESSAGES_A_MINUTE and time.monotonic() - self._sent_at[0] < _WINDOW_S:
            self._calls.before(CallKind.EMAIL)
            self._limits.pause(1.0)

    def _relative(self, link: str) -> str:
        """Return the path of a link to follow, which is stored: it must be one of this service."""
        base = f"{self._api}/v1.0"
        if not link.lower().startswith(f"{base.lower()}/"):
            message = "Microsoft 365's list of messages does not say where it goes on"
            raise TransientError(message)
        return link[len(base) :]

    def _decode(self, response: requests.Response, schema: type[T]) -> T:
        if not response.ok:
            raise refusal_error(response, CallKind.READ)
        try:
            return msgspec.json.decode(require_json(response, self._service, CallKind.READ), type=schema)
        except msgspec.MsgspecError:
            text = "Microsoft 365's reply does not have the documented form"
            raise ambiguous_reply_error(CallKind.READ, text) from None


def _call_kind(request: requests.PreparedRequest) -> CallKind:
    return CallKind.EMAIL if request.method == "POST" else CallKind.READ


def _first_path(since_at: datetime) -> str:
    """Return the first request of a round: only new messages, and of each only who sent it and what it refers to."""
    since = since_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    options = {
        "changeType": "created",
        "$select": _SELECTED,
        "$expand": _EXPANDED,
        "$filter": f"receivedDateTime ge {since}",
    }
    query = "&".join(f"{name}={quote(value, safe='$(),')}" for name, value in options.items())
    return f"/me/mailFolders/inbox/messages/delta?{query}"


def _is_position_lost(response: requests.Response) -> bool:
    code = error_code(response).lower()
    return response.status_code == requests.codes.gone or code in _POSITION_LOST


def _is_arrival(message: _Message) -> bool:
    return not bytes(message.removed) and not message.is_draft


def _arrival(message: _Message) -> Arrival:
    sender = message.from_.email_address.address if message.from_ and message.from_.email_address else None
    references = f"{message.property_value(_IN_REPLY_TO)} {message.property_value(_REFERENCES)}".split()
    return Arrival(
        id=message.id,
        received_at=message.received_date_time or datetime.now(UTC),
        sender=sender or "",
        references=tuple(dict.fromkeys(references)),
        may_be_report=_may_be_report(message, (sender or "").lower()),
        thread_id=message.conversation_id or "",
    )


def _may_be_report(message: _Message, sender: str) -> bool:
    kind = message.property_value(_MESSAGE_CLASS).upper()
    return kind.startswith("REPORT.") or sender.startswith(_REPORT_SENDERS)


def _canonical(name: str) -> str:
    kind, _, number = name.lower().partition(" 0x")
    return f"{kind} {number.lstrip('0')}"
