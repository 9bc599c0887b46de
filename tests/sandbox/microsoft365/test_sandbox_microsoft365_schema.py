"""Each reply of the simulated Graph has the form of Microsoft's metadata of v1.0, and holds nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import requests

from providers.microsoft365.mailbox import _EXPANDED, _SELECTED
from sandbox import Sandbox
from sandbox.microsoft365 import ADDRESS
from sandbox.microsoft365.graph import _PROPERTIES
from tests.providers.mailers.contract import microsoft365_site, sign_in

# The entity and complex types that a mailbox needs: names and types of August 2026, as in the file
# clean_v10_metadata/cleanMetadata.xml of github.com/microsoftgraph/msgraph-metadata, which is too large to keep.
TYPES = {
    "message": {
        **dict.fromkeys(("bccRecipients", "ccRecipients", "replyTo", "toRecipients"), "recipient[]"),
        **dict.fromkeys(("from", "sender"), "recipient"),
        **dict.fromkeys(("body", "uniqueBody"), "itemBody"),
        **dict.fromkeys(("bodyPreview", "changeKey", "conversationId", "id", "internetMessageId"), "string"),
        **dict.fromkeys(("parentFolderId", "subject", "webLink", "conversationIndex"), "string"),
        **dict.fromkeys(("createdDateTime", "lastModifiedDateTime", "receivedDateTime", "sentDateTime"), "instant"),
        **dict.fromkeys(("hasAttachments", "isDeliveryReceiptRequested", "isDraft", "isRead"), "boolean"),
        "isReadReceiptRequested": "boolean",
        **dict.fromkeys(("importance", "inferenceClassification"), "string"),
        "categories": "string[]",
        "flag": "followupFlag",
        "internetMessageHeaders": "internetMessageHeader[]",
        "singleValueExtendedProperties": "singleValueLegacyExtendedProperty[]",
    },
    "recipient": {"emailAddress": "emailAddress"},
    "emailAddress": {"address": "string", "name": "string"},
    "itemBody": {"content": "string", "contentType": "string"},
    "followupFlag": {"flagStatus": "string"},
    "internetMessageHeader": {"name": "string", "value": "string"},
    "singleValueLegacyExtendedProperty": {"id": "string", "value": "string"},
    "user": dict.fromkeys(("id", "displayName", "mail", "userPrincipalName"), "string"),
    "error": {"error": "publicError"},
    "publicError": {"code": "string", "message": "string", "target": "string", "innerError": "innerError"},
    "innerError": {"date": "string", "request-id": "string", "client-request-id": "string", "code": "string"},
}
REQUIRED = {"error": ["error"], "publicError": ["code", "message"], "user": ["id"], "message": ["id"]}
SIMPLE: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "instant": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"},
}


def as_json_schema(kind: str) -> dict[str, Any]:
    if kind.endswith("[]"):
        return {"type": "array", "items": as_json_schema(kind[:-2])}
    return SIMPLE.get(kind) or {"$ref": f"#/$defs/{kind}"}


def find_errors(schema: dict[str, Any], value: object) -> list[str]:
    definitions = {
        name: {
            "type": "object",
            "properties": {each: as_json_schema(kind) for each, kind in properties.items()},
            "patternProperties": {r"^@odata\.": {"type": "string"}},
            "required": REQUIRED.get(name, []),
            "additionalProperties": False,
        }
        for name, properties in TYPES.items()
    }
    validator = jsonschema_rs.validator_for({**schema, "$defs": definitions})
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(value)]


def collection(kind: str) -> dict[str, Any]:
    links = {f"@odata.{name}": {"type": "string"} for name in ("context", "nextLink", "deltaLink", "count")}
    return {
        "type": "object",
        "properties": {"value": as_json_schema(f"{kind}[]"), **links},
        "required": ["value"],
        "additionalProperties": False,
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, requests.Session, str]]:
    with microsoft365_site(tmp_path_factory.mktemp("graph")) as site, site.sandbox.serve() as url:
        content = f"From: ada@ada.example\nTo: {ADDRESS}\nSubject: Paid\nMessage-ID: <1@ada.example>\n\nPaid.\n"
        for number in range(12):
            site.sandbox.microsoft365.mailbox.receive(content.replace("<1@", f"<{number}@").encode())
        http = requests.Session()
        http.headers["Authorization"] = f"Bearer {sign_in(site.sandbox, url)}"
        yield site.sandbox, http, f"{url}/v1.0/me"


def test_the_types_do_check() -> None:
    assert find_errors({"$ref": "#/$defs/message"}, {"id": "1", "isDraft": "no"})
    assert find_errors({"$ref": "#/$defs/message"}, {"id": "1", "isdraft": True})
    assert find_errors(collection("message"), {"value": [{"id": "1", "from": {"address": "a@b.example"}}]})


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("?$select=id,mail,userPrincipalName", {"$ref": "#/$defs/user"}),
        ("/messages?$filter=internetMessageId eq '<3@ada.example>'", collection("message")),
        ("/mailFolders/inbox/messages?$select=id,internetMessageId,isDraft", collection("message")),
        (f"/mailFolders/inbox/messages/delta?$select={_SELECTED}&$expand={_EXPANDED}", collection("message")),
        ("/mailFolders/nowhere/messages/delta", {"$ref": "#/$defs/error"}),
        ("/messages?$select=colour", {"$ref": "#/$defs/error"}),
        ("/messages/gone/$value", {"$ref": "#/$defs/error"}),
    ],
)
def test_replies_are_as_published(
    served: tuple[Sandbox, requests.Session, str], path: str, schema: dict[str, Any]
) -> None:
    _, http, url = served
    reply = http.get(url + path, headers={"Prefer": "odata.maxpagesize=5"})
    assert reply.ok == (schema != {"$ref": "#/$defs/error"}), reply.text
    assert find_errors(schema, reply.json()) == []
    assert reply.headers["request-id"]


def test_only_published_properties_can_be_selected() -> None:
    assert TYPES["message"].keys() - _PROPERTIES == {"singleValueExtendedProperties"}
    assert _PROPERTIES - TYPES["message"].keys() == set()
    assert set(_SELECTED.split(",")) <= _PROPERTIES
