"""A Gmail mailbox: sends emails, finds those already sent, and lists what answers them.

Gmail replaces the Message-ID of what it sends. So an email carries its own, which derives from its key, in a header of
ours too, which Gmail keeps: by it the email is found, and what answers it is told from all other email.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Final

import requests

from providers.errors import AuthorizationExpired, PermanentError, ProviderError
from providers.gmail.client import Client, HistoryRecord, Message
from providers.mailbox import Arrival, ArrivalPage
from providers.mailer import Email, SendReceipt, Suppression
from providers.message import build_message, message_id_part

ID_HEADER: Final = "X-Duewell-Message-ID"
_GIVEN_ID_HEADER: Final = "Message-ID"
SEARCH_BEFORE: Final = timedelta(minutes=10)  # clocks differ
SEARCH_AFTER: Final = timedelta(days=1)
_SEARCH_PAGES_MAX: Final = 4
_THREADS_KEPT_MAX: Final = 1000
_PLAIN_ADDRESS: Final = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")
_SEPARATOR: Final = "|"  # in the position of a listing that broke off
_ID: Final = re.compile(r"<[^<>\s]{1,300}>")
_ARRIVAL_HEADERS: Final = ["From", "In-Reply-To", "References", "Content-Type"]
_REPORTERS: Final = ("mailer-daemon@", "postmaster@")
_GONE: Final = str(requests.codes.not_found)


class GmailMailbox:
    """The mailbox port over the Gmail API. ``address`` is that of the account."""

    name = "Gmail"
    can_find_sent = True

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._address = address
        self._senders: frozenset[str] | None = None
        self._threads: dict[str, dict[str, str]] = {}

    def send(self, email: Email) -> SendReceipt:
        """Send the email once."""
        message = build_message(email, with_blind_copies=True)
        message[ID_HEADER] = str(message["Message-ID"])
        content = bytes(message)
        self._check_sender(email.sender)
        return self._receipt(self._client.send(content).id)

    def find_sent(self, key: str, to: tuple[str, ...], since_at: datetime) -> SendReceipt | None:
        """Search what was sent around that time for the email with this key."""
        wanted = f"<{message_id_part(key)}@"
        first, last = since_at - SEARCH_BEFORE, since_at + SEARCH_AFTER
        query = f"in:sent after:{int(first.timestamp())} before:{int(last.timestamp())}"
        if to and _PLAIN_ADDRESS.fullmatch(to[0]):
            query += f" to:{to[0]}"
        for found in self._search(query):
            message = self._headers_of(found.id, [ID_HEADER, _GIVEN_ID_HEADER])
            if message is not None and message.header(ID_HEADER).startswith(wanted):
                return SendReceipt(message.id, _given_id(message))
        return None

    def find_suppressions(self, addresses: Sequence[str]) -> dict[str, Suppression]:
        """Return none: Gmail has no lists; bounces arrive in the mailbox."""
        return {}

    def may_send_as(self, sender: str) -> bool:
        """Return whether Gmail keeps this sender; any other it would replace by the account's own address."""
        if self._senders is None:
            self._senders = self._find_senders()
        return sender.lower() in self._senders

    def list_arrivals(self, cursor: str, since_at: datetime) -> Iterator[ArrivalPage]:
        """Yield what came in after the position ``cursor``; from ``since_at`` where Gmail no longer knows it."""
        if _SEPARATOR in cursor:
            newest, since_s, page_token = cursor.split(_SEPARATOR, 2)
            yield from self._list_since(newest, int(since_s), page_token)
            return
        if cursor:
            try:
                first = self._client.history(cursor)
            except PermanentError as error:
                if _is_other_than_gone(error):
                    raise
            else:
                yield from self._list_changes(cursor, first.history, first.history_id, first.next_page_token)
                return
        newest = self._client.profile().history_id  # read first: what comes in meanwhile is after it
        yield from self._list_since(newest, int(since_at.timestamp()), "", restarted=bool(cursor))

    def read_arrival(self, arrival_id: str) -> bytes | None:
        """Return the whole message; None where it is no longer there."""
        try:
            raw = self._client.raw_message(arrival_id).raw
        except PermanentError as error:
            if _is_other_than_gone(error):
                raise
            return None
        try:
            return base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4))
        except binascii.Error:
            return None

    def _list_changes(
        self, start: str, records: list[HistoryRecord], newest: str, page_token: str
    ) -> Iterator[ArrivalPage]:
        """Yield the pages of the history. The position after one of several is that of its last change."""
        position = start
        while True:
            position = records[-1].id if records else position
            added = [each.message for record in records for each in record.messages_added]
            yield ArrivalPage(self._arrivals(added), position if page_token else newest)
            if not page_token:
                return
            page = self._client.history(start, page_token)
            records, newest, page_token = page.history, page.history_id, page.next_page_token

    def _list_since(
        self, newest: str, since_s: int, page_token: str, *, restarted: bool = False
    ) -> Iterator[ArrivalPage]:
        """Yield what came in since then, page by page: weeks of it may take longer than a minute's quota allows.

        ``newest`` is the position once all of it has been dealt with; before, it is the page that comes next.
        """
        may_restart = bool(page_token)
        while True:
            try:
                page = self._client.search(f"in:anywhere -in:sent -in:drafts after:{since_s}", page_token)
            except PermanentError:
                if not may_restart:
                    raise
                page_token, may_restart = "", False  # the stored page is forgotten: from the first one on again
                continue
            page_token = page.next_page_token
            after = _SEPARATOR.join([newest, str(since_s), page_token]) if page_token else newest
            yield ArrivalPage(self._arrivals(page.messages), after, restarted=restarted)
            if not page_token:
                return

    def _arrivals(self, messages: list[Message]) -> list[Arrival]:
        wanted = {message.id: message for message in messages if message.id and not _is_own(message)}
        return [arrival for each in wanted if (arrival := self._arrival(each)) is not None]

    def _arrival(self, message_id: str) -> Arrival | None:
        """Return an arrival by its headers alone; None for one that is gone, or that the account itself wrote."""
        message = self._headers_of(message_id, _ARRIVAL_HEADERS)
        if message is None or _is_own(message):
            return None
        sender = parseaddr(message.header("From"))[1]
        references = _ID.findall(" ".join([*message.headers("In-Reply-To"), *message.headers("References")]))
        may_be_report = _may_be_report(message, sender)
        if not references and not may_be_report:
            return None  # it begins a conversation: it answers nothing
        return Arrival(
            id=message.id,
            received_at=message.received_at,
            sender=sender,
            references=tuple(dict.fromkeys([*self._own_ids(message, references), *references])),
            may_be_report=may_be_report,
            thread_id=message.thread_id,
        )

    def _own_ids(self, message: Message, references: list[str]) -> tuple[str, ...]:
        """Return our Message-IDs of the emails of ours that a message answers, the latest first.

        They are those in its thread or, where it was given another subject and so another thread, that of the email it
        names.
        """
        found = self._ids_in_thread(message.thread_id)
        if found or not references:
            named = [found[reference] for reference in references if reference in found]
            return (*named, *found.values())
        for sent in self._search(f"in:sent rfc822msgid:{references[0].strip('<>')}"):
            original = self._headers_of(sent.id, [ID_HEADER])
            if original is not None and original.header(ID_HEADER):
                return (original.header(ID_HEADER),)
        return ()

    def _ids_in_thread(self, thread_id: str) -> dict[str, str]:
        """Return our Message-IDs of a thread's emails by those that Gmail gave them, the latest first."""
        if thread_id not in self._threads:
            try:
                messages = self._client.thread_headers(thread_id, [_GIVEN_ID_HEADER, ID_HEADER]).messages
            except PermanentError as error:
                if _is_other_than_gone(error):
                    raise
                messages = []
            if len(self._threads) >= _THREADS_KEPT_MAX:
                self._threads.clear()
            self._threads[thread_id] = {
                each.header(_GIVEN_ID_HEADER): own for each in reversed(messages) if (own := each.header(ID_HEADER))
            }
        return self._threads[thread_id]

    def _headers_of(self, message_id: str, names: list[str]) -> Message | None:
        """Return some headers of a message; None where it is gone, which may be at any moment."""
        try:
            return self._client.message_headers(message_id, names)
        except PermanentError as error:
            if _is_other_than_gone(error):
                raise
            return None

    def _receipt(self, sent_id: str) -> SendReceipt:
        """Return the receipt with the Message-ID that Gmail has given, if it can be read: the email is sent anyway."""
        try:
            message = self._headers_of(sent_id, [_GIVEN_ID_HEADER])
        except ProviderError:
            message = None
        return SendReceipt(sent_id, _given_id(message) if message is not None else "")

    def _search(self, query: str) -> Iterator[Message]:
        page_token = ""
        for _page in range(_SEARCH_PAGES_MAX):
            page = self._client.search(query, page_token)
            yield from page.messages
            page_token = page.next_page_token
            if not page_token:
                return

    def _check_sender(self, sender: str) -> None:
        """Refuse a sender that Gmail would replace without a word by the account's own address."""
        if not self.may_send_as(sender):
            message = (
                f"Gmail would send from {self._address} instead of {sender} (MAIL_FROM); nothing was sent. Add that"
                " address in Gmail under Settings, Accounts, Send mail as, and confirm it; or change MAIL_FROM"
            )
            raise AuthorizationExpired(message)

    def _find_senders(self) -> frozenset[str]:
        """Return the usable senders in lower case; those of the Workspace's own domain have no status."""
        usable = [each.send_as_email for each in self._client.aliases() if each.verification_status != "pending"]
        return frozenset(address.lower() for address in (self._address, *usable))


def _given_id(message: Message) -> str:
    found = _ID.fullmatch(message.header(_GIVEN_ID_HEADER).strip())
    return found.group(0) if found is not None else ""


def _is_own(message: Message) -> bool:
    """Return whether the account itself wrote a message; one to itself is also in its inbox."""
    labels = set(message.label_ids)
    return "DRAFT" in labels or ("SENT" in labels and "INBOX" not in labels)


def _may_be_report(message: Message, sender: str) -> bool:
    content_type = message.header("Content-Type").lower().strip()
    return sender.lower().startswith(_REPORTERS) or content_type.startswith("multipart/report")


def _is_other_than_gone(error: PermanentError) -> bool:
    return error.code not in {"notFound", _GONE}
