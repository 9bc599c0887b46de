"""Parse an email that came back: to which of our addresses, what it says, and whether it was sent automatically."""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import HeaderParser
from email.utils import getaddresses, parseaddr
from html.parser import HTMLParser

from connector.emails.inbound.auto_replies import automatic_reason
from connector.emails.inbound.quoted_text import own_text
from connector.plain_text import clean_lines, one_line

TEXT_MAX = 4000  # characters of a reply that a task shows
_LINES_MAX = 60
_ATTACHMENTS_MAX = 10
_GMAIL_FILE = "f_"  # with what Gmail's id of an attached file begins; that of a picture in the text begins with "ii_"
_SOURCE_LENGTH_MAX = 200_000  # characters that are parsed
_HEADER_LENGTH_MAX = 2000
_HEADERS_LENGTH_MAX = 64_000
_ADDRESSES_LENGTH_MAX = 10_000
_REPLY_ADDRESS = re.compile(r"\breply\+([a-z2-7]{32})@([a-z0-9.-]{1,253})", re.IGNORECASE)  # a contact token
_HIDDEN_TAGS = {"style", "script", "title"}
_OWN_BLOCK = "elementToProof"  # Outlook marks with it what the writer indented, and nothing that it quotes
_BLOCK_TAGS = {"br", "p", "div", "tr", "li", "blockquote", "ul", "ol", "table", "pre", "hr", "h1", "h2", "h3", "h4"}
_BODY_FIELDS = {"text/plain": "text", "text/html": "html"}
# What email programs write; anything else, and every codec of Python's that is no charset, counts as UTF-8.
_CHARSETS = {
    *(
        "utf-8",
        "us-ascii",
        "koi8-r",
        "koi8-u",
        "gb2312",
        "gbk",
        "gb18030",
        "big5",
        "euc-jp",
        "shift_jis",
        "iso-2022-jp",
    ),
    *("euc-kr", *(f"windows-{page}" for page in range(1250, 1259))),
    *(f"iso-8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)),
    *("mac-roman", "cp850", "cp874", "cp932", "cp949", "tis-620"),
}
# Names that Python does not know, and charsets that programs name when they write a larger one (as the web's standard
# for encodings has it).
_LARGER_CHARSETS = {
    **dict.fromkeys(("windows-31j", "x-sjis", "shift_jis", "cp932"), "cp932"),
    **dict.fromkeys(("x-windows-949", "windows-949", "euc_kr", "uhc"), "cp949"),
    **dict.fromkeys(("gb2312", "gbk"), "gb18030"),
    **{f"iso-8859-8-{direction}": "iso8859-8" for direction in "ie"},
    "windows-874": "cp874",
    "cp-850": "cp850",
    "x-mac-roman": "mac-roman",
}
_CODECS = {codecs.lookup(name).name for name in _CHARSETS}


@dataclass(frozen=True, slots=True)
class Reply:
    """An email that came back; ``to`` are the (token, domain) pairs it was sent to, ``id`` stands for its identity.

    One that is not ``readable`` is known only to have come.
    """

    id: str
    to: tuple[tuple[str, str], ...]
    sender: str
    subject: str
    text: str
    automatic_reason: str  # what shows that it was sent automatically; "" where a person wrote it
    readable: bool = True
    attachments: tuple[str, ...] = ()  # their names


def unreadable_reply(identity: str, tokens: Iterable[str], domain: str) -> Reply:
    """Return what stands for an email that cannot be read: that it came, and to whom."""
    to = tuple((token, domain) for token in tokens)
    return Reply(identity, to, sender="", subject="", text="", automatic_reason="", readable=False)


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
    subject = one_line((fields.get("subject") or headers.get("subject", ""))[:_HEADER_LENGTH_MAX])
    sender = parseaddr((fields.get("from") or headers.get("from", ""))[:_HEADER_LENGTH_MAX])[1]
    plain = fields.get("text", "")[:_SOURCE_LENGTH_MAX]
    text = _shorten(
        own_text(plain if plain.strip() else _html_to_text(fields.get("html", "")[:_SOURCE_LENGTH_MAX]), sender)
    )
    identity = headers.get("message-id", "").strip() or "\n".join([sender, headers.get("date", ""), subject, text])
    return Reply(
        id=hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest(),
        to=tuple(dict.fromkeys(_find_reply_tokens(_recipients(fields, headers)))),
        sender=one_line(sender, 120),
        subject=one_line(subject, 120),
        text=text,
        automatic_reason=automatic_reason(headers, subject),
        attachments=_attachment_names(fields.get("attachment-info", "")),
    )


def _decode_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Decode the fields that are not in UTF-8 by their charset; the form was decoded as UTF-8, or else as Latin-1."""
    try:
        charsets = dict(json.loads(fields.get("charsets") or "{}"))
    except (ValueError, TypeError, RecursionError):
        return {}
    decoded: dict[str, str] = {}
    for name, charset in charsets.items():
        known = _known_charset(str(charset))
        if name in fields and known != "utf-8":
            with suppress(ValueError):  # another charset than it says: as the form was decoded
                decoded[name] = fields[name][:_SOURCE_LENGTH_MAX].encode("latin-1").decode(known)
    return decoded


def _split_raw_email(raw: str) -> dict[str, str]:
    """Split a raw email into the fields SendGrid would have made of it."""
    message = message_from_bytes(_raw_bytes(raw))
    parts = {"headers": raw.replace("\r\n", "\n").partition("\n\n")[0]}
    found: dict[str, list[str]] = {}
    for part in _own_parts(message):
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            text = _decode_text(content, part.get_content_charset() or "")
            found.setdefault(_BODY_FIELDS[part.get_content_type()], []).append(text)
    described = {
        place: {"filename": name, "type": part.get_content_type(), "content-id": part.get("Content-ID")}
        for place, part in enumerate(message.walk())
        if (name := part.get_filename())
    }
    return (
        parts | {name: "\n".join(texts) for name, texts in found.items()} | {"attachment-info": json.dumps(described)}
    )


def _attachment_names(info: str) -> tuple[str, ...]:
    """Return the names of the attachments that SendGrid describes; a picture within the text is none."""
    try:
        described = list(json.loads(info or "{}").values())
        names = [str(each["filename"]) for each in described if not _is_within_text(each)]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return ()
    return tuple(filter(None, (one_line(decode_header_text(name), 80) for name in names[:_ATTACHMENTS_MAX])))


def _is_within_text(described: Mapping[str, object]) -> bool:
    """Return whether a file is a picture that the text shows. An id alone says nothing: Gmail gives all files one."""
    content_id = str(described.get("content-id") or "").strip("<> ")
    is_picture = str(described.get("type", "")).startswith("image/")
    return bool(content_id) and is_picture and not content_id.startswith(_GMAIL_FILE)


def _own_parts(message: Message) -> Iterator[Message]:
    """Yield the texts of an email: not those of its attachments, nor of an email that is forwarded with it.

    There are several where a program puts a picture between two paragraphs.
    """
    if message.get_content_disposition() == "attachment" or message.get_filename():
        return
    if message.get_content_maintype() == "multipart":
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from _own_parts(part)
    elif message.get_content_type() in _BODY_FIELDS:
        yield message


def _decode_text(content: bytes, charset: str) -> str:
    """Decode a text by the charset it names; where that is unknown or wrong, as UTF-8, or else as Windows-1252."""
    for name in (_known_charset(charset), "utf-8"):
        with suppress(ValueError):
            return content.decode(name)
    return content.decode("cp1252", "replace")


def _raw_bytes(raw: str) -> bytes:
    """Return a raw email as it was posted: the form was decoded as UTF-8, or, where that failed, as Latin-1."""
    try:
        latin = raw.encode("latin-1")
        latin.decode("utf-8")
    except UnicodeEncodeError:
        return raw.encode("utf-8", "surrogateescape")
    except UnicodeDecodeError:
        says_utf8 = re.search(r"charset\s*=\s*\"?utf-?8", raw[:_SOURCE_LENGTH_MAX], re.IGNORECASE)
        return raw.encode("utf-8") if says_utf8 else latin
    return latin


def _parse_headers(raw: str) -> dict[str, str]:
    parsed = HeaderParser().parsestr(raw[:_HEADERS_LENGTH_MAX])
    return {name.lower(): decode_header_text(str(value)) for name, value in reversed(parsed.items())}


def decode_header_text(value: str) -> str:
    """Decode a header's encoded words (RFC 2047); one that is malformed stays as it is."""
    if "=?" not in value:
        return value
    try:
        parts = decode_header(value[:_HEADER_LENGTH_MAX])
        return "".join(
            part if isinstance(part, str) else _decode_text(part, charset or "us-ascii") for part, charset in parts
        )
    except (HeaderParseError, ValueError):
        return value


def _known_charset(charset: str) -> str:
    """Return Python's name of a charset, whichever alias of it an email uses; "utf-8" where it is not one."""
    charset = charset[:40].strip().lower()
    try:
        name = codecs.lookup(_LARGER_CHARSETS.get(charset, charset)).name
    except (LookupError, ValueError):
        return "utf-8"
    return _LARGER_CHARSETS.get(name, name) if name in _CODECS else "utf-8"


def _recipients(fields: Mapping[str, str], headers: Mapping[str, str]) -> Iterable[str]:
    """Return the addresses it was delivered to; the headers count only where the envelope is missing."""
    try:
        envelope = json.loads(fields.get("envelope") or "{}")
        delivered = [str(each) for each in envelope["to"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        delivered = []
    shown = [(fields.get(name) or headers.get(name, ""))[:_ADDRESSES_LENGTH_MAX] for name in ("to", "cc")]
    return delivered or [address for _name, address in getaddresses(shown)]


def _find_reply_tokens(addresses: Iterable[str]) -> Iterable[tuple[str, str]]:
    for address in addresses:
        for token, domain in _REPLY_ADDRESS.findall(address):
            yield token.lower(), domain.lower()


def _shorten(text: str) -> str:
    """Return a text as a few lines of visible characters."""
    kept = clean_lines(text, _LINES_MAX)
    return kept if len(kept) <= TEXT_MAX else kept[: TEXT_MAX - 1] + "…"


class _TextExtractor(HTMLParser):
    """Collects the visible text of a page, a line per block element; quoted blocks get the mark of quoted lines.

    What is left open hides nothing: the end tag of ``head`` may be missing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.chunks: list[str] = []
        self._hidden = 0
        self._blocks: list[bool] = []  # the open blockquotes, and whether each is one that a program quotes

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = 0 if tag == "body" else self._hidden + (tag in _HIDDEN_TAGS)
        if tag == "blockquote":
            self._blocks.append(_OWN_BLOCK not in (dict(attrs).get("class") or ""))
        self._separate(tag)

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN_TAGS and self._hidden > 0
        if tag == "blockquote" and self._blocks:
            self._blocks.pop()
        self._separate(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.chunks.append(data.replace("\n", " "))

    def parse_marked_section(self, i: int, report: bool = True) -> int:  # noqa: FBT001, FBT002 - as the parser has it
        """Skip a section like ``<![if !mso]>``; for one it does not know, the parser raises."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i)

    def _separate(self, tag: str) -> None:
        if tag in _BLOCK_TAGS:
            self.chunks.append("\n> " if any(self._blocks) else "\n")
        elif tag in {"td", "th"}:
            self.chunks.append(" ")


def _html_to_text(html: str) -> str:
    extractor = _TextExtractor()
    extractor.feed(html)
    extractor.close()  # what the parser still holds: the end of a text that was cut
    return "".join(extractor.chunks)
