"""Sign-in at Google: what is asked for, what is refused, how long it lives, and how it ends."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from providers.errors import AuthorizationExpired, PermanentError, TransientError
from providers.gmail import MAILBOX
from providers.sign_in import GRANT_LIFETIME
from sandbox.faults import Rule
from sandbox.gmail.service import ACCOUNT
from tests.providers.gmail.conftest import BACK, World, reminder


def test_consent_asks_for_the_two_scopes_for_offline_access_and_every_time(world: World) -> None:
    query = parse_qs(urlsplit(MAILBOX.begin_consent(world.settings, BACK).url).query)
    scopes = {scope.rpartition("/")[2] for scope in query["scope"][0].split()}
    assert scopes == {"gmail.send", "gmail.readonly"}
    assert (query["access_type"], query["prompt"]) == (["offline"], ["select_account consent"])
    assert (query["code_challenge_method"], query["redirect_uri"]) == (["S256"], [BACK])


def test_connected_twice_there_is_a_refresh_token_both_times(world: World) -> None:
    for _ in range(2):
        consent = world.connect()
        assert consent.address == ACCOUNT
        assert consent.token["refresh_token"]
        assert GRANT_LIFETIME not in consent.token


@pytest.mark.parametrize(
    ("unticked", "words"), [("gmail.readonly", "View your email"), ("gmail.send", "Send email on your behalf")]
)
def test_unticked_permission_is_named_and_nothing_is_connected(world: World, unticked: str, words: str) -> None:
    with pytest.raises(PermanentError, match=words):
        world.connect(f"&sandbox_without={unticked}")


def test_denied_or_foreign_redirect_is_refused(world: World) -> None:
    begun = MAILBOX.begin_consent(world.settings, BACK)
    for query, code in (
        ("error=access_denied&state={}", "access_denied"),
        ("code=4/0&state=other", "state"),
        ("code=4/0&state={}&iss=https://evil.example", "iss"),
        ("state={}", "code"),
    ):
        with pytest.raises(PermanentError) as refused:
            MAILBOX.finish_consent(world.settings, BACK, f"{BACK}?{query.format(begun.state)}", begun, world.calls)
        assert refused.value.code == code


def test_grant_of_an_app_in_testing_says_when_it_ends_and_then_why(world: World) -> None:
    world.gmail.sign_in.testing = True
    token = world.connect().token
    assert token[GRANT_LIFETIME] == 604_799
    world.sandbox.clock.advance(timedelta(days=3))
    token = MAILBOX.refresh(world.settings, token, world.calls)
    assert token[GRANT_LIFETIME] == 604_799 - 3 * 86_400
    world.sandbox.clock.advance(timedelta(days=5))
    with pytest.raises(AuthorizationExpired, match="still in status Testing"):
        MAILBOX.refresh(world.settings, token, world.calls)


def test_end_of_a_grant_is_forgotten_where_google_no_longer_names_one(world: World) -> None:
    world.gmail.sign_in.testing = True
    token = world.connect().token
    world.gmail.sign_in.testing = False
    assert GRANT_LIFETIME not in MAILBOX.refresh(world.settings, token, world.calls)


def test_refresh_keeps_the_refresh_token_and_survives_a_lost_reply(world: World) -> None:
    token = world.connect().token
    world.sandbox.faults.add(Rule("drop_after", service="gmail", kind="token"))
    with pytest.raises(TransientError):
        MAILBOX.refresh(world.settings, token, world.calls)
    fresh = MAILBOX.refresh(world.settings, token, world.calls)
    assert fresh["refresh_token"] == token["refresh_token"]
    assert fresh["access_token"] != token["access_token"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_server_error_at_a_refresh_is_no_lost_access(world: World, status: int) -> None:
    token = world.connect().token
    world.sandbox.faults.refuse(status, service="gmail", kind="token", body='{"error": "rate_limit"}', times=0)
    with pytest.raises(TransientError):
        MAILBOX.refresh(world.settings, token, world.calls)


def test_wrong_secret_is_the_apps_and_not_the_consents(world: World) -> None:
    token = world.connect().token
    world.gmail.sign_in.clients = dict.fromkeys(world.gmail.sign_in.clients, "another")
    with pytest.raises(PermanentError, match="GMAIL_CLIENT_ID"):
        MAILBOX.refresh(world.settings, token, world.calls)


def test_revoked_access_sends_nothing_and_can_be_revoked_again(world: World) -> None:
    token = world.connect().token
    for _ in range(2):
        assert MAILBOX.revoke(world.settings, token, world.calls) == ""
    with pytest.raises(AuthorizationExpired):
        world.open(token).send(reminder("k1"))
    assert world.gmail.emails() == []
