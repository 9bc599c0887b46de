"""Operations that cost much: cheap checks first, one at a time, and an end to the costly part."""

from __future__ import annotations

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


def client_of(program: Client) -> ApiClient:
    found = api_tokens.authenticate(program.site.app, program.token)
    assert found is not None
    return found


@pytest.mark.parametrize("path", PATHS)
def test_a_token_has_one_costly_operation_at_a_time(scenario: Scenario, path: str) -> None:
    program, other = scenario.client("read"), scenario.client("read")
    with one_at_a_time(client_of(program)):
        waiting = program.request("POST", path, DOCUMENT)
        assert (waiting.status_code, waiting.headers["Retry-After"]) == (429, "5")
        assert other.request("POST", path, DOCUMENT).status_code == 200
        assert program.request("GET", "/policy").status_code == 200
    assert program.request("POST", path, DOCUMENT).status_code == 200


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
