"""Parse an email that came back: to which of our addresses, what it says, and whether it was sent automatically."""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email import message_from_string
from email.parser import HeaderParser
from email.utils import getaddresses, parseaddr
from html.parser import HTMLParser

from connector.emails.contact_tokens import TOKEN_LENGTH
from connector.plain_text import clean_lines, one_line

TEXT_MAX = 4000  # characters of a reply that a task shows
_LINES_MAX = 60
_SOURCE_LENGTH_MAX = 200_000  # characters that are parsed
_REPLY_ADDRESS = re.compile(rf"\breply\+([a-z2-7]{{{TOKEN_LENGTH}}})@([a-z0-9.-]+)", re.IGNORECASE)
_BULK_PRECEDENCES = {"bulk", "junk", "list", "auto_reply", "auto-reply"}
_BODY_FIELDS = {"text/plain": "text", "text/html": "html"}
_BOUNCE_SENDERS = ("mailer-daemon", "postmaster", "no-reply", "noreply", "bounce")
_AUTO_REPLY_SUBJECT = re.compile(
    r"^\s*(re:\s*)?(automatic reply|auto(matic)?[ -]?(reply|response)|out of (the )?office|away from|on vacation"
    r"|undeliver|delivery (status|failure|has failed)|mail delivery|returned mail|failure notice"
    r"|abwesen|automatische antwort|unzustellbar|réponse automatique|absen[ct]e? du bureau|message d.absence"
    r"|respuesta automática|fuera de (la )?oficina)",
    re.IGNORECASE,
)
_QUOTE_START = re.compile(
    r"^\s*(>|-{2,}\s*(original message|ursprüngliche nachricht|message d.origine|mensaje original)"
    r"|_{10,}|(on|am|le|el)\b.{5,200}\b(wrote|schrieb|a écrit|escribió)\b.*:?\s*$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An email that came back. ``to`` are (token, domain) pairs of our addresses; ``id`` stands for its Message-ID."""

    id: str
    to: tuple[tuple[str, str], ...]
    sender: str
    subject: str
    text: str
    automatic_reason: str  # what shows that it was sent automatically; "" where a person wrote it


def parse_reply(fields: Mapping[str, str]) -> Reply:
    """Parse the fields of an Inbound Parse request; what is missing or malformed counts as empty.

    SendGrid posts an email in parts, or whole in the field ``email`` where the address is set up for raw emails. Parts
    keep the encoding they were written in; ``charsets`` names it.
    """
    fields = {
        **fields,
        **(_split_raw_email(fields["email"][:_SOURCE_LENGTH_MAX]) if "email" in fields else _decode_fields(fields)),
    }
    headers = _parse_headers(fields.get("headers", ""))
    subject = one_line(fields.get("subject") or headers.get("subject", ""))
    sender = parseaddr(fields.get("from") or headers.get("from", ""))[1]
    text = _strip_quoted_text(
        fields.get("text", "")[:_SOURCE_LENGTH_MAX] or _html_to_text(fields.get("html", "")[:_SOURCE_LENGTH_MAX])
    )
    identity = headers.get("message-id", "").strip() or "\n".join([sender, headers.get("date", ""), subject, text])
    return Reply(
        id=hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest(),
        to=tuple(dict.fromkeys(_find_reply_tokens(_recipients(fields, headers)))),
        sender=one_line(sender, 120),
        subject=one_line(subject, 120),
        text=text,
        automatic_reason=_automatic_reason(headers, sender, subject),
    )


def _decode_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Decode the fields that are not in UTF-8 by their charset; the form was decoded as UTF-8, or else as Latin-1."""
    try:
        charsets = dict(json.loads(fields.get("charsets") or "{}"))
    except (ValueError, TypeError, RecursionError):
        return {}
    decoded: dict[str, str] = {}
    for name, charset in charsets.items():
        try:
            if name in fields and codecs.lookup(str(charset)).name != "utf-8":
                decoded[name] = fields[name].encode("latin-1").decode(str(charset))
        except (LookupError, ValueError):
            continue  # an unknown or wrong charset: as the form was decoded
    return decoded


def _split_raw_email(raw: str) -> dict[str, str]:
    """Split a raw email into the fields SendGrid would have made of it."""
    raw = raw.replace("\r\n", "\n")
    parts = {"headers": raw.partition("\n\n")[0]}
    for part in message_from_string(raw).walk():
        name = _BODY_FIELDS.get(part.get_content_type(), "")
        content = part.get_payload(decode=True) if name and name not in parts and not part.get_filename() else None
        if isinstance(content, bytes):
            parts[name] = _decode(part.get_content_charset("utf-8"), content)
    return parts


def _decode(charset: str, content: bytes) -> str:
    try:
        return content.decode(charset, "replace")
    except LookupError:  # an unknown charset
        return content.decode("utf-8", "replace")


def _parse_headers(raw: str) -> dict[str, str]:
    return {
        name.lower(): str(value) for name, value in reversed(HeaderParser().parsestr(raw[:_SOURCE_LENGTH_MAX]).items())
    }


def _recipients(fields: Mapping[str, str], headers: Mapping[str, str]) -> Iterable[str]:
    """Return the addresses it was delivered to; the headers count only where the envelope is missing."""
    try:
        envelope = json.loads(fields.get("envelope") or "{}")
        delivered = [str(each) for each in envelope["to"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        delivered = []
    shown = [fields.get("to") or headers.get("to", ""), fields.get("cc") or headers.get("cc", "")]
    return delivered or [address for _name, address in getaddresses(shown)]


def _find_reply_tokens(addresses: Iterable[str]) -> Iterable[tuple[str, str]]:
    for address in addresses:
        for token, domain in _REPLY_ADDRESS.findall(address):
            yield token.lower(), domain.lower()


def _automatic_reason(headers: Mapping[str, str], sender: str, subject: str) -> str:
    auto_submitted = headers.get("auto-submitted", "no").split(";")[0].strip().lower()
    if auto_submitted not in {"", "no"}:
        return f"Auto-Submitted: {one_line(auto_submitted, 40)}"
    if headers.get("precedence", "").strip().lower() in _BULK_PRECEDENCES:
        return f"Precedence: {one_line(headers['precedence'], 40)}"
    for name in ("x-auto-response-suppress", "x-autoreply", "x-autorespond", "list-id", "feedback-id"):
        if headers.get(name, "").strip().lower() not in {"", "no", "none"}:
            return f"header {name}"
    if "multipart/report" in headers.get("content-type", "").lower() or headers.get("return-path", "").strip() == "<>":
        return "delivery report"
    if sender.lower().startswith(_BOUNCE_SENDERS) or not sender:
        return "automatic sender"
    return "subject" if _AUTO_REPLY_SUBJECT.search(subject) else ""


def _strip_quoted_text(text: str) -> str:
    """Return what the sender wrote, without the quoted email, as a few lines of visible characters."""
    own: list[str] = []
    for line in text.splitlines():
        if _QUOTE_START.match(line):
            break
        own.append(line)
    kept = clean_lines("\n".join(own), _LINES_MAX) or clean_lines(text, _LINES_MAX)
    return kept if len(kept) <= TEXT_MAX else kept[: TEXT_MAX - 1] + "…"


class _TextExtractor(HTMLParser):
    """Collects the visible text of a page, a line per block element."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in {"style", "script", "head"}
        if tag in {"br", "p", "div", "tr", "li", "blockquote"}:
            self.chunks.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"style", "script", "head"} and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.chunks.append(data)


def _html_to_text(html: str) -> str:
    extractor = _TextExtractor()
    extractor.feed(html)
    return "".join(extractor.chunks)
