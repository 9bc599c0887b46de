"""Validates a mail/send request as SendGrid does, with its own messages where they are known."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sandbox.core import JsonObject

PERSONALIZATIONS_MAX = 1000
CATEGORIES_MAX = 10
CATEGORY_LENGTH_MAX = 255
ARGUMENTS_BYTES_MAX = 10_000
SEND_AT_SECONDS_MAX = 72 * 3600
RESERVED_HEADERS = frozenset({
    "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding", "to", "from",
    "subject", "reply-to", "cc", "bcc",
})  # fmt: skip
_TOP_LEVEL_FIELDS = frozenset({
    "personalizations", "from", "reply_to", "reply_to_list", "subject", "content", "attachments", "template_id",
    "headers", "categories", "custom_args", "send_at", "batch_id", "asm", "ip_pool_name", "mail_settings",
    "tracking_settings",
})  # fmt: skip
_ADDRESS = re.compile(
    r"[^@\s,<>\"()]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{1,62}"
)
_FROM = (
    "The from object must be provided for every email send. It is an object that requires the email parameter, "
    "but may also contain a name parameter."
)


class RequestError(NamedTuple):
    """An entry of the ``errors`` list."""

    message: str
    field: str | None = None


def find_errors(body: Any, now: datetime) -> list[RequestError]:
    """Return all errors of a request."""
    if not isinstance(body, dict):
        return [RequestError("Bad Request")]
    checks = (
        _check_structure,
        _check_sender,
        _check_personalizations,
        _check_subject,
        _check_content,
        _check_categories,
        _check_attachments,
        _check_reply_to,
    )
    found = [error for check in checks for error in check(body)]
    found += _check_arguments(body, "")
    found += _check_headers(body, "")
    return [*found, *_check_send_at(body, now, "")]


def is_valid_address(value: object) -> bool:
    """Return whether a text is an email address that SendGrid accepts."""
    return isinstance(value, str) and _ADDRESS.fullmatch(value) is not None


def _check_structure(body: JsonObject) -> Iterator[RequestError]:
    for name in sorted(set(body) - _TOP_LEVEL_FIELDS):
        yield RequestError(f"Additional property {name} is not allowed", name)


def _check_sender(body: JsonObject) -> Iterator[RequestError]:
    sender = body.get("from")
    if not isinstance(sender, dict) or not sender.get("email"):
        yield RequestError(_FROM, "from.email")
    elif not is_valid_address(sender["email"]):
        yield RequestError("The from email does not contain a valid address.", "from.email")


def _check_personalizations(body: JsonObject) -> Iterator[RequestError]:
    items = body.get("personalizations")
    if not isinstance(items, list) or not items:
        message = "The personalizations field is required and must have at least one personalization."
        yield RequestError(message, "personalizations")
        return
    if len(items) > PERSONALIZATIONS_MAX:
        yield RequestError(f"There is a limit of {PERSONALIZATIONS_MAX} personalizations.", "personalizations")
    for n, item in enumerate(items):
        path = f"personalizations.{n}"
        if not isinstance(item, dict):
            yield RequestError("Invalid type. Expected: object.", path)
            continue
        yield from _check_recipients(item, path)
        yield from _check_arguments(item, f"{path}.")
        yield from _check_headers(item, f"{path}.")


def _check_recipients(item: JsonObject, path: str) -> Iterator[RequestError]:
    if not isinstance(item.get("to"), list) or not item["to"]:
        message = (
            "The to array is required for all personalization objects, and must have at least one email object "
            "with a valid email address."
        )
        yield RequestError(message, f"{path}.to")
        return
    seen: set[str] = set()
    for kind in ("to", "cc", "bcc"):
        for n, address in enumerate(item.get(kind) or []):
            email = address.get("email") if isinstance(address, dict) else None
            if not is_valid_address(email):
                yield RequestError("Does not contain a valid address.", f"{path}.{kind}.{n}.email")
            elif str(email).lower() in seen:
                message = "Each email address in the personalization block should be unique between to, cc, and bcc."
                yield RequestError(f"{message} We found the first duplicate instance of [{email}].", path)
            seen.add(str(email).lower())


def _check_subject(body: JsonObject) -> Iterator[RequestError]:
    items = [item for item in body.get("personalizations") or [] if isinstance(item, dict)]
    everywhere = bool(items) and all(item.get("subject") for item in items)
    if not body.get("subject") and not everywhere and not body.get("template_id"):
        message = (
            "The subject is required. You can get around this requirement if you use a template with a subject defined "
            "or if every personalization has a subject defined."
        )
        yield RequestError(message, "subject")


def _check_content(body: JsonObject) -> Iterator[RequestError]:
    content = body.get("content")
    if not isinstance(content, list) or not content:
        if not body.get("template_id"):
            message = (
                "Unless a valid template_id is provided, the content parameter is required. "
                "There must be at least one defined content block."
            )
            yield RequestError(message, "content")
        return
    kinds = []
    for n, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("value"), str) or not part["value"]:
            yield RequestError(
                "The content value must be a string at least one character in length.", f"content.{n}.value"
            )
            continue
        kinds.append(str(part.get("type", "")))
        if "/" not in kinds[-1]:
            yield RequestError("The content type must be a MIME type.", f"content.{n}.type")
    if len(set(kinds)) != len(kinds):
        yield RequestError("If present, text/plain and text/html may only be provided once.", "content")
    if "text/plain" in kinds[1:]:
        yield RequestError(
            "If present, text/plain must be first in the content array, followed by text/html.", "content"
        )
    elif "text/html" in kinds[2:] or ("text/html" in kinds[1:] and kinds[0] != "text/plain"):
        yield RequestError("If present, text/html must follow text/plain in the content array.", "content")


def _check_categories(body: JsonObject) -> Iterator[RequestError]:
    categories = body.get("categories")
    if categories is None:
        return
    if not isinstance(categories, list) or len(categories) > CATEGORIES_MAX:
        yield RequestError(f"There is a limit of {CATEGORIES_MAX} categories per email.", "categories")
        return
    for n, category in enumerate(categories):
        if not isinstance(category, str) or len(category) > CATEGORY_LENGTH_MAX:
            yield RequestError(
                f"A category is a string of at most {CATEGORY_LENGTH_MAX} characters.", f"categories.{n}"
            )


def _check_attachments(body: JsonObject) -> Iterator[RequestError]:
    for n, part in enumerate(body.get("attachments") or []):
        path = f"attachments.{n}"
        if not isinstance(part, dict) or not part.get("filename"):
            yield RequestError("The attachment filename is required.", f"{path}.filename")
            continue
        if re.search(r"[\r\n;]", str(part.get("type", ""))):
            yield RequestError("The attachment type cannot contain CRLF characters or ';'.", f"{path}.type")
        if part.get("disposition", "attachment") not in {"attachment", "inline"}:
            yield RequestError("The attachment disposition must be inline or attachment.", f"{path}.disposition")
        if not _is_base64(part.get("content")):
            yield RequestError("The attachment content must be base64 encoded.", f"{path}.content")


def _is_base64(value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    try:
        return bool(base64.b64decode(value, validate=True))
    except binascii.Error:
        return False


def _check_reply_to(body: JsonObject) -> Iterator[RequestError]:
    if "reply_to" in body and "reply_to_list" in body:
        yield RequestError("Use either reply_to or reply_to_list, not both.", "reply_to")
    reply_addresses = [("reply_to.email", body["reply_to"])] if "reply_to" in body else []
    several = body.get("reply_to_list") or []
    reply_addresses += [(f"reply_to_list.{n}.email", address) for n, address in enumerate(several)]
    for path, address in reply_addresses:
        if not isinstance(address, dict) or not is_valid_address(address.get("email")):
            yield RequestError("Does not contain a valid address.", path)


def _check_arguments(part: JsonObject, path: str) -> Iterator[RequestError]:
    arguments = part.get("custom_args")
    if arguments is None:
        return
    if not isinstance(arguments, dict) or not all(isinstance(value, str) for value in arguments.values()):
        yield RequestError("custom_args must be an object of string keys and string values.", f"{path}custom_args")
    elif len(str(arguments).encode()) > ARGUMENTS_BYTES_MAX:
        yield RequestError("custom_args must be smaller than 10,000 bytes.", f"{path}custom_args")


def _check_headers(part: JsonObject, path: str) -> Iterator[RequestError]:
    headers = part.get("headers")
    if headers is None:
        return
    if not isinstance(headers, dict):
        yield RequestError("The headers must be an object of key/value pairs.", f"{path}headers")
        return
    for name, value in headers.items():
        if name.lower() in RESERVED_HEADERS:
            yield RequestError(f"The header {name} is reserved and cannot be overwritten.", f"{path}headers.{name}")
        elif not isinstance(value, str) or not name.isascii() or re.search(r"[\r\n]", name + value):
            yield RequestError("Headers are ASCII names with string values.", f"{path}headers.{name}")


def _check_send_at(body: JsonObject, now: datetime, path: str) -> Iterator[RequestError]:
    at = body.get("send_at")
    if at is None:
        return
    if not isinstance(at, int) or isinstance(at, bool):
        yield RequestError("send_at must be a unix timestamp.", f"{path}send_at")
    elif at > now.timestamp() + SEND_AT_SECONDS_MAX:
        yield RequestError("Scheduling more than 72 hours in advance is forbidden.", f"{path}send_at")
