"""Forms that carry files: multipart, read from a body that is in memory already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

_FIELDS_MAX = 50
_FILES_MAX = 2


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that a form carries: its name as the browser says, and its content."""

    name: str
    content: bytes


async def parse_upload(request: Request, body: bytes) -> tuple[dict[str, list[str]], dict[str, UploadedFile]]:
    """Return the fields and the files of a multipart form; what is none has neither."""

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    form: dict[str, list[str]] = {}
    files: dict[str, UploadedFile] = {}
    again = Request(request.scope, receive)  # type: ignore[arg-type]
    try:
        async with again.form(max_files=_FILES_MAX, max_fields=_FIELDS_MAX, max_part_size=len(body) + 1) as parsed:
            for name, value in parsed.multi_items():
                if isinstance(value, UploadFile):
                    files[name] = UploadedFile(value.filename or "", await value.read())
                else:
                    form.setdefault(name, []).append(value)
    except HTTPException:  # broken boundaries, too many fields
        return {}, {}
    return form, files
