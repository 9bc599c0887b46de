"""Operations that cost much: cheap checks first, one at a time, and an end to the costly part."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from connector.api import policy
from connector.api.costly_calls import one_at_a_time
from connector.auth import api_tokens
from connector.auth.api_tokens import ApiClient
from tests.connector.api_clients import Client

Scenario = Any
PATHS = ("/policy/check", "/policy/diff")
DOCUMENT = {"document": "[thank_you]\nenabled = false\n"}
STATEMENT = base64.b64encode(b"Date;Amount;Text\n13.05.2026;1,00;x\n").decode()
COSTLY = (
    *(("POST", path, DOCUMENT) for path in PATHS),
    ("POST", "/connections/{company}/bank-statements", {"name": "may.csv", "content": STATEMENT}),
    ("PATCH", "/connections/{company}/brand", {"signature": "Ann"}),
)


def client_of(program: Client) -> ApiClient:
    found = api_tokens.authenticate(program.site.app, program.token)
    assert found is not None
    return found


@pytest.mark.parametrize(("method", "path", "body"), COSTLY)
def test_a_token_has_one_costly_operation_at_a_time(
    scenario: Scenario, method: str, path: str, body: dict[str, str]
) -> None:
    program, other = scenario.client("admin"), scenario.client("admin")
    path = path.format(company=program.request("GET", "/connections").json()["items"][0]["id"])
    with one_at_a_time(client_of(program)):
        waiting = program.request(method, path, body)
        assert (waiting.status_code, waiting.headers["Retry-After"]) == (429, "5")
        assert other.request(method, path, body).status_code == 200
        assert program.request("GET", "/policy").status_code == 200
    assert program.request(method, path, body).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_document_that_takes_too_long_is_given_up(
    scenario: Scenario, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = scenario.client("read")
    monkeypatch.setattr(policy, "_CHECK_S", 1e-6)
    given_up = program.request("POST", path, DOCUMENT)
    assert (given_up.status_code, "took too long" in given_up.json()["detail"]) == (422, True)
    monkeypatch.undo()
    assert program.request("POST", path, DOCUMENT).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_deep_and_long_documents_are_told_what_is_wrong_with_them(scenario: Scenario, path: str) -> None:
    program = scenario.client("read")
    for document in ("a." * 5000 + "b = 1", "a = " + "[" * 20 + "]" * 20, "".join(f"k{n}=1\n" for n in range(2000))):
        reply = program.request("POST", path, {"document": document})
        assert reply.status_code == (200 if path == "/policy/check" else 422)
        assert any(words in reply.text for words in ("at most 8 parts", "more than 8 brackets", "more problems"))
