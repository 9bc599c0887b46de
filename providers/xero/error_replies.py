"""Reads Xero's error replies in JSON, whatever their status."""

from __future__ import annotations

from typing import Final

import msgspec

_MESSAGE_LENGTH_MAX: Final = 300


class _Message(msgspec.Struct, rename={"text": "Message"}):
    text: str = ""


class _Element(msgspec.Struct, rename={"errors": "ValidationErrors"}):
    errors: list[_Message] = []


class _ErrorReply(msgspec.Struct, rename={"type": "Type", "message": "Message", "elements": "Elements"}):
    type: str = ""
    message: str = ""
    elements: list[_Element] = []


def parse_error(body: bytes) -> tuple[str, str]:
    """Return the message and the code of Xero's 400 reply, or two empty texts where it is not readable."""
    try:
        reply = msgspec.json.decode(body, type=_ErrorReply)
    except msgspec.DecodeError:
        return "", ""
    messages = [error.text for element in reply.elements for error in element.errors] or [reply.message]
    text = "; ".join(dict.fromkeys(" ".join(message.split()) for message in messages))
    return text[:_MESSAGE_LENGTH_MAX], reply.type


def own_words(body: bytes) -> str:
    """Return Xero's own words in a reply of any status; "" if it has none."""
    return parse_error(body)[0]
