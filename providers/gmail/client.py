"""The calls to the Gmail API, on our transport: Google's own SDK repeats a send whose reply is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

import msgspec
import requests

from providers.calls import CallKind
from providers.errors import OutcomeUnknown
from providers.gmail.error_replies import gmail_service, refusal_error
from providers.http import TransportLimits, ambiguous_reply_error, install_transport, require_json

if TYPE_CHECKING:
    from providers.calls import CallObserver
    from providers.sign_in import AccessToken

_ME: Final = "gmail/v1/users/me"
_BEARER: Final = "Bearer "
PAGE_SIZE: Final = 100  # each message is then asked for its headers, within a minute's quota
Params = dict[str, str | list[str]]
Schema = TypeVar("Schema")


class Header(msgspec.Struct):
    """A header of a message."""

    name: str = ""
    value: str = ""


class Payload(msgspec.Struct):
    """The part of a message that holds its headers."""

    headers: list[Header] = []


class Message(msgspec.Struct, rename="camel"):
    """A message, as far as the format of the request has it. ``internal_date`` is in milliseconds since 1970."""

    id: str = ""
    thread_id: str = ""
    label_ids: list[str] = []
    internal_date: str = "0"
    payload: Payload = msgspec.field(default_factory=Payload)
    raw: str = ""

    @property
    def received_at(self) -> datetime:
        """When it came in; the beginning of time where that cannot be read."""
        return datetime.fromtimestamp(int(self.internal_date) / 1000 if self.internal_date.isdecimal() else 0, UTC)

    def headers(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [header.value for header in self.payload.headers if header.name.lower() == name.lower()]

    def header(self, name: str) -> str:
        """Return the value of a header, "" where there is none."""
        return next(iter(self.headers(name)), "")


class MessageList(msgspec.Struct, rename="camel"):
    """Messages of a search, by their ids."""

    messages: list[Message] = []
    next_page_token: str = ""


class Thread(msgspec.Struct):
    """The messages of a thread."""

    messages: list[Message] = []


class Added(msgspec.Struct):
    """A message that was added."""

    message: Message = msgspec.field(default_factory=Message)


class HistoryRecord(msgspec.Struct, rename="camel"):
    """A change of the mailbox."""

    id: str
    messages_added: list[Added] = []


class History(msgspec.Struct, rename="camel"):
    """Some changes of the mailbox; a page may hold none although another follows."""

    history_id: str
    history: list[HistoryRecord] = []
    next_page_token: str = ""


class Profile(msgspec.Struct, rename="camel"):
    """The mailbox's address and the position of its newest change."""

    email_address: str
    history_id: str


class Alias(msgspec.Struct, rename="camel"):
    """An address to send from; ``verification_status`` is "" for the account's own and for those of its domain."""

    send_as_email: str
    verification_status: str = ""


class Aliases(msgspec.Struct, rename="camel"):
    """The addresses to send from."""

    send_as: list[Alias] = []


class Client:
    """The Gmail API for one mailbox."""

    def __init__(
        self, api_url: str, access_token: AccessToken, calls: CallObserver, limits: TransportLimits | None = None
    ) -> None:
        self._api = api_url.rstrip("/")
        self._service = gmail_service(api_url)
        self._access_token = access_token
        self._limits = limits or TransportLimits()
        self._session = requests.Session()
        install_transport(self._session, self._service, calls, _call_kind, self._limits)

    def profile(self) -> Profile:
        """Return the profile."""
        return self._read("profile", Profile, {})

    def aliases(self) -> list[Alias]:
        """Return the addresses that the mailbox may send from."""
        return self._read("settings/sendAs", Aliases, {}).send_as

    def search(self, query: str, page_token: str = "") -> MessageList:
        """Return a page of the messages that match a search, the newest first."""
        paging: Params = {"pageToken": page_token} if page_token else {}
        return self._read("messages", MessageList, {"q": query, "maxResults": str(PAGE_SIZE), **paging})

    def history(self, start: str, page_token: str = "") -> History:
        """Return a page of what was added after a position. Raises ``PermanentError`` 404 where it is forgotten."""
        paging: Params = {"pageToken": page_token} if page_token else {}
        added: Params = {"startHistoryId": start, "historyTypes": "messageAdded", "maxResults": str(PAGE_SIZE)}
        return self._read("history", History, {**added, **paging})

    def message_headers(self, message_id: str, names: list[str]) -> Message:
        """Return some headers of a message, and nothing else of it."""
        fields = "id,threadId,labelIds,internalDate,payload/headers"
        return self._read(
            f"messages/{quote(message_id, safe='')}",
            Message,
            {"format": "metadata", "metadataHeaders": names, "fields": fields},
        )

    def thread_headers(self, thread_id: str, names: list[str]) -> Thread:
        """Return some headers of the messages of a thread, and nothing else of them."""
        params: Params = {"format": "metadata", "metadataHeaders": names, "fields": "messages(id,payload/headers)"}
        return self._read(f"threads/{quote(thread_id, safe='')}", Thread, params)

    def raw_message(self, message_id: str) -> Message:
        """Return a message as a whole."""
        return self._read(f"messages/{quote(message_id, safe='')}", Message, {"format": "raw", "fields": "id,raw"})

    def send(self, content: bytes) -> Message:
        """Send a message to the addresses in its To, Cc and Bcc; as an upload, which may be larger than JSON."""
        url = f"{self._api}/upload/{_ME}/messages/send"
        response = self._call(
            "POST", url, {"uploadType": "media"}, data=content, headers={"Content-Type": "message/rfc822"}
        )
        sent = self._decode(response, Message, CallKind.EMAIL)
        if response.status_code != requests.codes.ok or not sent.id:
            message = f"Gmail answered {response.status_code} without an id for the email; it may have been sent"
            raise OutcomeUnknown(message)
        return sent

    def _read(self, path: str, schema: type[Schema], params: Params) -> Schema:
        return self._decode(self._call("GET", f"{self._api}/{_ME}/{path}", params), schema, CallKind.READ)

    def _call(
        self, method: str, url: str, params: Params, *, data: bytes = b"", headers: dict[str, str] | None = None
    ) -> requests.Response:
        token = self._access_token()
        response = self._call_once(method, url, params, data, headers or {}, token)
        if response.status_code == requests.codes.unauthorized:  # nothing happened: once more with another token
            token = self._access_token(rejected_token=token)
            response = self._call_once(method, url, params, data, headers or {}, token)
        if response.status_code >= requests.codes.bad_request:
            raise refusal_error(response, self._limits.now())
        return response

    def _call_once(
        self, method: str, url: str, params: Params, data: bytes, headers: dict[str, str], token: str
    ) -> requests.Response:
        headers = {**headers, "Authorization": _BEARER + token}
        return self._session.request(method, url, params=params, data=data or None, headers=headers)

    def _decode(self, response: requests.Response, schema: type[Schema], kind: CallKind) -> Schema:
        try:
            return msgspec.json.decode(require_json(response, self._service, kind), type=schema)
        except msgspec.MsgspecError:
            raise ambiguous_reply_error(kind, "Gmail's reply does not have the documented form") from None


def _call_kind(request: requests.PreparedRequest) -> CallKind:
    return CallKind.EMAIL if request.method == "POST" else CallKind.READ
