"""Each reply of the simulated Gmail has the form of Google's discovery document, and holds nothing beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests

from sandbox.gmail import Gmail
from tests.sandbox.gmail.test_sandbox_gmail import ME, upload

DOCUMENT = Path(__file__).parents[3].parent / "shared" / "vendor" / "google" / "gmail.v1.json"
READS = {
    "profile": ("getProfile", ""),
    "messages": ("messages.list", "q=in:anywhere"),
    "messages/{id}": ("messages.get", "format=full"),
    "messages/{id}#": ("messages.get", "format=raw"),
    "messages/{id}##": ("messages.get", "format=metadata&metadataHeaders=Subject"),
    "threads/{thread}": ("threads.get", "format=metadata"),
    "history": ("history.list", "startHistoryId=1000&historyTypes=messageAdded&maxResults=500"),
    "labels": ("labels.list", ""),
    "settings/sendAs": ("settings.sendAs.list", ""),
}

pytestmark = pytest.mark.skipif(not DOCUMENT.is_file(), reason="Google's discovery document is not beside the project")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(DOCUMENT.read_text())  # type: ignore[no-any-return]


def find_method(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document["resources"]["users"]
    *resources, method = name.split(".")
    for resource in resources:
        found = found["resources"][resource]
    return found["methods"][method]  # type: ignore[no-any-return]


def as_json_schema(part: Any) -> Any:
    """Turn a schema of a discovery document into JSON schema: the same words, other references, nothing beside."""
    if isinstance(part, list):
        return [as_json_schema(each) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return {"$ref": f"#/schemas/{part['$ref']}"}
    converted = {name: as_json_schema(value) for name, value in part.items() if name in {"type", "items", "enum"}}
    if "properties" in part:
        properties = {name: as_json_schema(value) for name, value in part["properties"].items()}
        converted |= {"properties": properties, "additionalProperties": False}
    return converted


def find_errors(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    schemas = {name: as_json_schema(each) for name, each in document["schemas"].items()}
    validator = jsonschema_rs.validator_for({**as_json_schema(schema), "schemas": schemas})
    return [error.message for error in validator.iter_errors(value)]


def test_the_document_does_check(document: dict[str, Any]) -> None:
    assert find_errors(document, {"$ref": "Profile"}, {"emailAddress": 7})
    assert find_errors(document, {"$ref": "Profile"}, {"email": "a@b.example"})


def test_replies_and_requests_are_as_documented(
    document: dict[str, Any], http: requests.Session, url: str, gmail: Gmail
) -> None:
    gmail.add_alias("office@larkspur.example", "pending")
    gmail.add_alias("books@larkspur.example", "")
    sent = upload(http, url).json()
    gmail.reply(1, "Paid.")
    assert find_errors(document, {"$ref": "Message"}, sent) == []
    assert find_method(document, "messages.send")["mediaUpload"]["protocols"]["simple"]["path"] == (
        "/upload/gmail/v1/users/{userId}/messages/send"
    )
    for path, (name, query) in READS.items():
        filled = path.rstrip("#").format(id=sent["id"], thread=sent["threadId"])
        reply = http.get(f"{url}/{ME}/{filled}?{query}")
        method = find_method(document, name)
        assert reply.status_code == 200, path
        assert method["path"].partition("{userId}/")[2].rpartition("/{")[0] in {filled, filled.rpartition("/")[0]} or (
            method["path"].endswith(filled)
        )
        assert {pair.partition("=")[0] for pair in query.split("&") if pair} <= method["parameters"].keys()
        assert find_errors(document, method["response"], reply.json()) == [], path
