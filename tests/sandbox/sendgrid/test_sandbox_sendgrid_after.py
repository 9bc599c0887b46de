"""After an email is accepted: logs, suppressions, limits, and events that SendGrid's SDK verifies."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
from sendgrid.helpers.eventwebhook import EventWebhook

from sandbox.sendgrid import SendGrid
from sandbox.server import Sandbox

VENDOR = Path(__file__).parents[3].parent / "shared" / "vendor" / "sendgrid"
Body = dict[str, Any]
KEY_ID = "duewell_key"


@pytest.fixture
def sent(http: requests.Session, url: str, request_body: Body) -> Any:
    """Send an email to an address with a key."""

    def send(to: str = "ada@ada.example", key: str = "k-1") -> str:
        people = [{"to": [{"email": to}], "custom_args": {KEY_ID: key}}]
        reply = http.post(f"{url}/v3/mail/send", json={**request_body, "personalizations": people})
        return reply.headers["X-Message-Id"]

    return send


@pytest.fixture
def search(http: requests.Session, url: str) -> Any:
    def ask(query: str, **more: Any) -> list[dict[str, Any]]:
        reply = http.post(f"{url}/v3/logs", json={"query": query, **more})
        assert reply.status_code == 200, reply.text
        return list(reply.json()["messages"])

    return ask


def test_email_is_found_by_address_and_time_and_its_details_contain_the_key(
    sent: Any, search: Any, http: requests.Session, url: str
) -> None:
    sent("bert@bert.example", "k-0")
    message_id = sent("ada@ada.example", "k-9")
    query = 'to_email = "ADA@ada.example" AND sg_message_id_created_at >= TIMESTAMP "2026-11-21T11:59:00Z"'
    (found,) = search(query)
    assert found["sg_message_id"].startswith(message_id)
    assert found["status"] == "delivered"
    detail = http.get(f"{url}/v3/logs/{found['sg_message_id']}").json()
    assert detail["custom_args"] == {KEY_ID: "k-9"}
    assert [event["event"] for event in detail["events"]] == ["processed", "delivered"]


def test_logs_are_returned_newest_first_up_to_a_limit(sent: Any, search: Any, sandbox: Sandbox) -> None:
    for n in range(12):
        sandbox.clock.advance(timedelta(seconds=1))
        sent(f"p{n}@ada.example")
    assert [found["to_email"] for found in search("status IN ('delivered')", limit=2)] == [
        "p11@ada.example",
        "p10@ada.example",
    ]
    assert len(search("categories IN ('reminder', 'other')")) == 10
    assert search("subject = 'something else'") == []
    assert search('sg_message_id_created_at < TIMESTAMP "2026-11-21T12:00:02Z"', limit=1000)[0]["to_email"] == (
        "p0@ada.example"
    )


def test_logs_can_lag(sent: Any, search: Any, sandbox: Sandbox, http: requests.Session, url: str) -> None:
    sandbox.sendgrid.logs_lag = timedelta(minutes=10)
    sent()
    assert search("to_email = 'ada@ada.example'") == []
    hidden = sandbox.sendgrid.emails()[0].messages[0].sg_message_id
    assert http.get(f"{url}/v3/logs/{hidden}").status_code == 404
    sandbox.clock.advance(timedelta(minutes=10))
    assert len(search("to_email = 'ada@ada.example'")) == 1


@pytest.mark.parametrize(
    "query",
    [
        "to_email LIKE 'a%'",
        "custom_args = 'k-1'",
        "to_email = 'a@b.example' OR to_email = 'c@d.example'",
        "to_email = nobody",
        "sg_message_id_created_at > TIMESTAMP 'soon'",
        "status IN ()",
    ],
)
def test_unsupported_log_query_is_rejected(http: requests.Session, url: str, query: str) -> None:
    assert http.post(f"{url}/v3/logs", json={"query": query}).status_code == 400


def test_log_rate_limits_are_enforced(http: requests.Session, url: str) -> None:
    assert http.post(f"{url}/v3/logs", json={"limit": 1001}).status_code == 400
    assert http.get(f"{url}/v3/logs").status_code == 405


def _validator(name: str, shape: dict[str, Any]) -> Any:
    path = VENDOR / name
    if not path.is_file():
        pytest.skip(f"SendGrid's own description is not here ({path})")
    spec = json.loads(path.read_text())
    # The descriptions list custom_args-bearing events under a discriminator; JSON Schema needs only the references.
    return jsonschema_rs.validator_for({**shape, "components": spec["components"]})


def test_log_responses_match_sendgrids_openapi_document(
    sent: Any, sendgrid: SendGrid, http: requests.Session, url: str
) -> None:
    for who, fate in (("b@b.example", "bounce"), ("c@c.example", "blocked"), ("d@d.example", "deferred")):
        sendgrid.set_outcome(who, fate)
        sent(who)
    sent("b@b.example")
    sent("e@e.example")
    sendgrid.spam(5)
    shapes = {
        name: {"$ref": f"#/components/schemas/EmailLogsGetMessage{name}Response"} for name in ("sByFilter", "ById")
    }
    found = http.post(f"{url}/v3/logs", json={}).json()
    assert len(found["messages"]) == 5
    assert [str(error) for error in _validator("tsg_logs_v3.json", shapes["sByFilter"]).iter_errors(found)] == []
    check = _validator("tsg_logs_v3.json", shapes["ById"])
    for message in found["messages"]:
        detail = http.get(f"{url}/v3/logs/{message['sg_message_id']}").json()
        assert [str(error) for error in check.iter_errors(detail)] == []


def test_suppressions_are_listed_found_and_deleted(http: requests.Session, url: str, sendgrid: SendGrid) -> None:
    for name, schema in (
        ("bounces", {"type": "array", "items": {"$ref": "#/components/schemas/BounceResponse"}}),
        ("blocks", {"$ref": "#/components/schemas/BlocksResponse"}),
        ("invalid_emails", {"type": "array", "items": {"$ref": "#/components/schemas/InvalidEmail"}}),
        ("spam_reports", {"$ref": "#/components/schemas/SpamReportsResponse"}),
    ):
        sendgrid.suppress("Ada@ada.example", name)
        sendgrid.suppress("bert@bert.example", name)
        base = f"{url}/v3/suppression/{name}"
        one = http.get(f"{base}/ada@ada.example").json()
        assert [entry["email"] for entry in one] == ["ada@ada.example"]
        check = _validator("tsg_suppressions_v3.json", schema)
        assert [str(error) for error in check.iter_errors(one)] == []
        assert http.get(f"{base}/nobody@ada.example").json() == []
        assert len(http.get(base).json()) == 2
        assert len(http.get(base, params={"limit": 1, "offset": 1}).json()) == 1
        assert [entry["email"] for entry in http.get(base, params={"email": "bert"}).json()] == ["bert@bert.example"]
        assert http.get(base, params={"end_time": 5}).json() == []
        assert http.delete(f"{base}/ada@ada.example").status_code == 204
        assert http.delete(f"{base}/ada@ada.example").status_code == 404
        assert http.delete(base, json={"emails": ["bert@bert.example"]}).status_code == 204
        assert http.get(base).json() == []


def test_global_unsubscribe_list_returns_an_empty_object_for_an_unknown_address(
    http: requests.Session, url: str, sent: Any, sendgrid: SendGrid
) -> None:
    base = f"{url}/v3/asm/suppressions/global"
    assert http.get(f"{base}/ada@ada.example").json() == {}
    assert http.post(base, json={"recipient_emails": ["ada@ada.example"]}).status_code == 201
    assert http.get(f"{base}/ada@ada.example").json() == {"recipient_email": "ada@ada.example"}
    assert [entry["email"] for entry in http.get(f"{url}/v3/suppression/unsubscribes").json()] == ["ada@ada.example"]
    sent()
    assert sendgrid.emails()[0].messages[0].reason == "Unsubscribed Address"
    assert http.delete(f"{base}/ada@ada.example").status_code == 204
    assert http.get(f"{base}/ada@ada.example").json() == {}


def test_every_response_except_sending_has_rate_limit_headers_and_429_where_enforced(
    http: requests.Session, url: str, sendgrid: SendGrid, sandbox: Sandbox, sent: Any
) -> None:
    sendgrid.limit.per_minute, sendgrid.limit.enforced = 2, True
    replies = [http.get(f"{url}/v3/suppression/bounces") for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert [reply.headers["X-RateLimit-Remaining"] for reply in replies] == ["1", "0", "0"]
    assert int(replies[2].headers["X-RateLimit-Reset"]) == int(sandbox.clock.now().timestamp()) + 60
    assert sent()
    sandbox.clock.advance(timedelta(minutes=1))
    assert http.get(f"{url}/v3/suppression/bounces").status_code == 200


class _Receiver(ThreadingHTTPServer):
    """A webhook that stores what it gets and responds with a given status."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, dict[str, str]]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((body, dict(self.headers)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def receiver(sendgrid: SendGrid) -> Iterator[_Receiver]:
    with _Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        sendgrid.webhook.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/sendgrid"
        yield server
        server.shutdown()
        thread.join()


def test_events_are_posted_with_a_signature_that_the_sdk_verifies(
    receiver: _Receiver, sendgrid: SendGrid, sent: Any, sandbox: Sandbox, url: str
) -> None:
    sent()
    assert sendgrid.post_events() == 200
    ((body, headers),) = receiver.got
    events = json.loads(body)
    assert [(event["event"], event[KEY_ID]) for event in events] == [("processed", "k-1"), ("delivered", "k-1")]
    assert "custom_args" not in events[0]
    check = EventWebhook(sandbox.settings(url)["SENDGRID_WEBHOOK_PUBLIC_KEY"])
    signature = headers["X-Twilio-Email-Event-Webhook-Signature"]
    timestamp = headers["X-Twilio-Email-Event-Webhook-Timestamp"]
    assert check.verify_signature(body.decode(), signature, timestamp)
    assert not check.verify_signature(body.decode() + " ", signature, timestamp)
    assert sendgrid.post_events() == 0


def test_event_without_a_2xx_response_is_repeated(receiver: _Receiver, sendgrid: SendGrid, sent: Any) -> None:
    sent()
    receiver.status = 500
    assert sendgrid.post_events() == 500
    receiver.status = 200
    assert sendgrid.post_events() == 200
    assert receiver.got[0][0] == receiver.got[1][0]


def test_events_can_come_repeatedly_and_in_any_order(receiver: _Receiver, sendgrid: SendGrid, sent: Any) -> None:
    sendgrid.webhook.copies, sendgrid.webhook.shuffled = 3, True
    for n in range(4):
        sent(f"p{n}@ada.example")
    sendgrid.post_events()
    ids = [event["sg_event_id"] for event in json.loads(receiver.got[0][0])]
    assert (len(ids), len(set(ids))) == (24, 8)
    assert ids != ids[:8] * 3


def test_late_bounce_is_an_event_and_a_suppression(receiver: _Receiver, sendgrid: SendGrid, sent: Any) -> None:
    sent()
    sendgrid.bounce(1)
    sendgrid.post_events()
    assert [event["event"] for event in json.loads(receiver.got[0][0])] == ["processed", "delivered", "bounce"]
    assert "ada@ada.example" in sendgrid.store.lists["bounces"]
    with pytest.raises(LookupError):
        sendgrid.spam(2)
