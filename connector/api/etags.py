"""Versions of what a program has read, in the headers ``ETag`` and ``If-Match`` (RFC 9110)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header
from starlette.responses import Response

IfMatch = Annotated[
    str, Header(max_length=300, description="The `ETag` you read, or the `etag` in quotes: 412 if it has changed.")
]


def parse_if_match(header: str) -> str:
    """Return the version in a header, "" for every one (``*``, or no header)."""
    text = header.strip()
    return "" if text in {"", "*"} else text.strip('"')


def with_etag(response: Response, etag: str) -> Response:
    """Return a response with the version of what it contains."""
    response.headers["ETag"] = f'"{etag}"'
    return response
