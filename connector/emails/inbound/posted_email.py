"""An email as SendGrid posts it: found by its reply address alone, before anything else of it is looked at.

Anybody may post to that door. So the address is searched in the raw bytes, only the beginning and the end of a large
email are kept, and what is posted is decoded by charsets that email programs use, never by one that the request names.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from connector.emails.inbound.reply_parsing import Reply, parse_reply

KEPT_START_BYTES = 2**20  # fields come before attachments, and a raw email's text before its own
KEPT_END_BYTES = 64 * 1024  # a raw email's envelope comes after it
PARTS_MAX = 200
_PART_HEAD_BYTES_MAX = 2000
_FIELD_BYTES_MAX = 200_000
_TOKENS_MAX = 10
_ADDRESS = re.compile(rb"reply\+([a-z2-7]{32})@([a-z0-9.-]{1,253})")
_BOUNDARY = re.compile(r"""boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))(?:\s|;|$)""", re.IGNORECASE)
_NAME = re.compile(rb"""\bname="([A-Za-z0-9_-]{1,40})\"""")
_FILE = re.compile(rb"\bfilename\*?=", re.IGNORECASE)
_FILE_NAME = re.compile(rb"\bfilename=\"([^\"\r\n]{1,300})\"", re.IGNORECASE)
_UNNAMED = "statement"


class FormPart(NamedTuple):
    """A field of a form, or a file in it, which has a name."""

    name: str
    file_name: str
    content: bytes


class KeptBody:
    """The beginning and the end of a body that is too large to be kept whole."""

    def __init__(self) -> None:
        self.size = 0
        self._start = bytearray()
        self._end: deque[bytes] = deque()
        self._end_size = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes, and forget those in the middle."""
        self.size += len(chunk)
        taken = max(0, KEPT_START_BYTES - len(self._start))
        self._start += chunk[:taken]
        if rest := chunk[taken:]:
            self._end.append(rest)
            self._end_size += len(rest)
            while self._end_size - len(self._end[0]) >= KEPT_END_BYTES:
                self._end_size -= len(self._end.popleft())

    def content(self) -> bytes:
        """Return what is kept."""
        return bytes(self._start) + b"".join(self._end)


def find_boundary(content_type: str) -> str:
    """Return the boundary of a multipart form, "" where a request is none."""
    if not content_type.lower().startswith("multipart/form-data"):
        return ""
    found = _BOUNDARY.search(content_type[:500])
    return (found.group(1) or found.group(2)) if found else ""


def find_reply_tokens(content: bytes, domain: str) -> list[str]:
    """Return the tokens of the reply addresses at ``domain`` that stand anywhere in what was posted."""
    wanted = domain.lower().encode()
    found = (match.groups() for match in _ADDRESS.finditer(content.lower()))
    tokens = dict.fromkeys(token.decode() for token, at in found if at.rstrip(b".-") == wanted)
    return list(tokens)[:_TOKENS_MAX]


def read_posted_email(boundary: str, content: bytes) -> Reply:
    """Parse an email that was posted with this boundary."""
    return parse_reply(_split_fields(boundary, content))


def _split_fields(boundary: str, content: bytes) -> dict[str, str]:
    """Return the text fields of a form by name; attachments are left out."""
    fields: dict[str, str] = {}
    for part in split_form(boundary, content):
        if not part.file_name:
            fields[part.name] = _decode(part.content[:_FIELD_BYTES_MAX])
    return fields


def split_form(boundary: str, content: bytes) -> Iterator[FormPart]:
    """Yield the parts of a form that was posted with this boundary."""
    for part in content.split(b"--" + boundary.encode("latin-1", "replace"), PARTS_MAX)[1:PARTS_MAX]:
        head, _blank, value = part.partition(b"\r\n\r\n")
        head = head[:_PART_HEAD_BYTES_MAX]
        name, file_name = _NAME.search(head), _FILE_NAME.search(head)
        if name is None:
            continue
        named = file_name.group(1).decode("utf-8", "replace") if file_name is not None else ""
        yield FormPart(
            name.group(1).decode("ascii"),
            named or (_UNNAMED if _FILE.search(head) else ""),
            value.removesuffix(b"\r\n"),
        )


def _decode(value: bytes) -> str:
    """Decode a field as UTF-8, or else as Latin-1, which keeps every byte for the charset that the email names."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.end == len(value) == _FIELD_BYTES_MAX:  # cut in the middle of a letter
            return value[: error.start].decode("utf-8")
        return value.decode("latin-1")
