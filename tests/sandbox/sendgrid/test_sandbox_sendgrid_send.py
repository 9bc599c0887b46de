"""mail/send of the sandbox: what SendGrid accepts, what it rejects, and what happens to an email."""

from __future__ import annotations

import base64
import copy
import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
from python_http_client.exceptions import BadRequestsError, UnauthorizedError
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Attachment, Category, Content, CustomArg, Header, Mail, MailSettings, SandBoxMode

from sandbox.sendgrid import SendGrid
from sandbox.server import Sandbox

SPEC = Path(__file__).parents[3].parent / "shared" / "vendor" / "sendgrid" / "tsg_mail_v3.json"
Body = dict[str, Any]


@pytest.fixture
def spec() -> dict[str, Any]:
    if not SPEC.is_file():
        pytest.skip(f"SendGrid's own description is not here ({SPEC})")
    return json.loads(SPEC.read_text())  # type: ignore[no-any-return]


def _schema(spec: dict[str, Any], part: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for({**part, "components": spec["components"]})


def test_email_from_the_sdk_is_accepted_and_stored_as_sent(sdk: Any, sendgrid: SendGrid) -> None:
    request_body = Mail("billing@larkspur.example", "ada@ada.example", "Hello", "plain", "<p>html</p>")
    request_body.add_custom_arg(CustomArg("duewell_key", "k-7"))
    request_body.add_category(Category("reminder"))
    request_body.add_header(Header("Message-ID", "<k-7@larkspur.example>"))
    request_body.add_attachment(Attachment(base64.b64encode(b"%PDF-1.4").decode(), "invoice.pdf", "application/pdf"))
    reply = sdk.send(request_body)
    assert reply.status_code == 202
    assert reply.headers["X-Message-Id"]
    (kept,) = sendgrid.emails()
    assert (kept.to, kept.subject, kept.text, kept.html) == (("ada@ada.example",), "Hello", "plain", "<p>html</p>")
    assert (kept.custom_args, kept.categories) == ({"duewell_key": "k-7"}, ("reminder",))
    assert kept.headers == {"Message-ID": "<k-7@larkspur.example>"}
    assert [(part.filename, part.content) for part in kept.attachments] == [("invoice.pdf", b"%PDF-1.4")]
    assert (kept.message_id, kept.status) == (reply.headers["X-Message-Id"], "delivered")


def test_valid_request_matches_sendgrids_openapi_document_and_is_accepted(
    spec: dict[str, Any], http: requests.Session, url: str, request_body: Body
) -> None:
    body = spec["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    assert [str(error) for error in _schema(spec, body).iter_errors(request_body)] == []
    assert http.post(f"{url}/v3/mail/send", json=request_body).status_code == 202


def test_sandbox_mode_returns_200_and_stores_nothing(sdk: Any, sendgrid: SendGrid) -> None:
    request_body = Mail("billing@larkspur.example", "ada@ada.example", "Hello", "plain")
    request_body.mail_settings = MailSettings(sandbox_mode=SandBoxMode(enable=True))
    assert sdk.send(request_body).status_code == 200
    assert sendgrid.emails() == []


def test_sdk_raises_for_rejected_requests(sdk: Any, url: str) -> None:
    with pytest.raises(BadRequestsError) as refused:
        sdk.send(Mail("billing@larkspur.example", "ada@nowhere", "Hello", "plain"))
    assert refused.value.to_dict["errors"][0]["field"] == "personalizations.0.to.0.email"
    with pytest.raises(UnauthorizedError):
        SendGridAPIClient("SG.wrong", host=url).send(Mail("a@b.example", "c@d.example", "Hello", "plain"))


def test_sdk_puts_text_before_html(sdk: Any, sendgrid: SendGrid) -> None:
    request_body = Mail("billing@larkspur.example", "ada@ada.example", "Hello")
    request_body.add_content(Content("text/html", "<p>html</p>"))
    request_body.add_content(Content("text/plain", "plain"))
    assert sdk.send(request_body).status_code == 202
    assert sendgrid.emails()[0].text == "plain"


_TOO_LATE = 1_795_262_400 + 73 * 3600  # 73 hours after noon of 21 Nov 2026
_HTML_FIRST = [{"type": "text/html", "value": "<p>x</p>"}, {"type": "text/plain", "value": "x"}]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"from": None}, "from.email"),
        ({"from": {"email": "nobody"}}, "from.email"),
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": [{"to": []}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "a@b"}]}]}, "personalizations.0.to.0.email"),
        ({"personalizations": [{"to": [{"email": "a@b.example, c@d.example"}]}]}, "personalizations.0.to.0.email"),
        (
            {"personalizations": [{"to": [{"email": "a@b.example"}], "cc": [{"email": "A@b.example"}]}]},
            "personalizations.0",
        ),
        ({"subject": ""}, "subject"),
        ({"content": []}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
        ({"content": _HTML_FIRST}, "content"),
        ({"categories": ["c"] * 11}, "categories"),
        ({"categories": ["c" * 256]}, "categories.0"),
        ({"custom_args": {"attempt": 1}}, "custom_args"),
        ({"custom_args": {"long": "x" * 10_000}}, "custom_args"),
        ({"headers": {"Subject": "other"}}, "headers.Subject"),
        ({"headers": {"dkim-signature": "x"}}, "headers.dkim-signature"),
        ({"headers": {"X-A": "a\r\nBcc: b@c.example"}}, "headers.X-A"),
        ({"reply_to": {"email": "nobody"}}, "reply_to.email"),
        ({"send_at": _TOO_LATE}, "send_at"),
        ({"attachments": [{"content": "no base64!", "filename": "a.pdf"}]}, "attachments.0.content"),
        ({"attachments": [{"content": "eA=="}]}, "attachments.0.filename"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_invalid_request_is_rejected_with_the_name_of_the_field(
    http: requests.Session, url: str, sendgrid: SendGrid, request_body: Body, changed: Body, field: str
) -> None:
    reply = http.post(f"{url}/v3/mail/send", json={**request_body, **changed})
    assert reply.status_code == 400
    assert field in [error["field"] for error in reply.json()["errors"]]
    assert sendgrid.emails() == []


def test_errors_match_sendgrids_openapi_document(
    spec: dict[str, Any], http: requests.Session, url: str, request_body: Body
) -> None:
    shape = copy.deepcopy(spec["components"]["schemas"]["ErrorResponse"])
    field = shape["properties"]["errors"]["items"]["properties"]["field"]
    field["type"] = ["string", "null"]  # the description says so with OpenAPI 3.0's "nullable"
    check = _schema(spec, shape)
    wrong: list[Any] = [{**request_body, "from": None}, {**request_body, "content": _HTML_FIRST}, []]
    for sent in wrong:
        reply = http.post(f"{url}/v3/mail/send", json=sent).json()
        assert reply["errors"]
        assert [str(error) for error in check.iter_errors(reply)] == []


def test_invalid_json_large_bodies_and_other_content_types_are_rejected(
    http: requests.Session, url: str, request_body: Body
) -> None:
    json_kind = {"Content-Type": "application/json"}
    assert http.post(f"{url}/v3/mail/send", data="{not json", headers=json_kind).status_code == 400
    assert http.post(f"{url}/v3/mail/send", data=json.dumps(request_body)).status_code == 415
    huge = {**request_body, "attachments": [{"content": "A" * 30_000_000, "filename": "a.bin"}]}
    assert http.post(f"{url}/v3/mail/send", json=huge).status_code == 413


def test_compressed_request_is_read(http: requests.Session, url: str, sendgrid: SendGrid, request_body: Body) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    sent = http.post(f"{url}/v3/mail/send", data=gzip.compress(json.dumps(request_body).encode()), headers=headers)
    assert sent.status_code == 202
    assert len(sendgrid.emails()) == 1


def test_keys_have_scopes_and_verified_senders_can_be_required(
    http: requests.Session, url: str, sendgrid: SendGrid, request_body: Body
) -> None:
    sendgrid.keys["SG.reader"] = frozenset({"logs"})
    reader = {"Authorization": "Bearer SG.reader"}
    assert requests.post(f"{url}/v3/mail/send", json=request_body, headers=reader, timeout=10).status_code == 403
    assert requests.post(f"{url}/v3/mail/send", json=request_body, timeout=10).status_code == 401
    sendgrid.senders.add("other@larkspur.example")
    assert http.post(f"{url}/v3/mail/send", json=request_body).status_code == 403
    sendgrid.senders.add("billing@larkspur.example")
    assert http.post(f"{url}/v3/mail/send", json=request_body).status_code == 202


def test_each_personalization_is_a_separate_email(
    http: requests.Session, url: str, sendgrid: SendGrid, request_body: Body
) -> None:
    second = {"to": [{"email": "bert@bert.example"}], "subject": "Only for Bert", "custom_args": {"duewell_key": "k-2"}}
    http.post(
        f"{url}/v3/mail/send", json={**request_body, "personalizations": [*request_body["personalizations"], second]}
    )
    assert [(kept.number, kept.subject) for kept in sendgrid.emails()] == [
        (1, request_body["subject"]),
        (2, "Only for Bert"),
    ]
    assert [kept.custom_args["duewell_key"] for kept in sendgrid.emails_to("BERT@bert.example")] == ["k-2"]


def test_suppressed_address_gets_202_and_the_email_is_dropped(
    http: requests.Session, url: str, sendgrid: SendGrid, request_body: Body
) -> None:
    sendgrid.suppress("ADA@ada.example")
    assert http.post(f"{url}/v3/mail/send", json=request_body).status_code == 202
    (kept,) = sendgrid.emails()
    assert kept.status == "dropped"
    assert [event["event"] for event in kept.messages[0].events] == ["dropped"]
    assert kept.messages[0].reason == "Bounced Address"


def test_bypassing_a_suppression_list_works(
    http: requests.Session, url: str, sendgrid: SendGrid, request_body: Body
) -> None:
    sendgrid.suppress("ada@ada.example", "unsubscribes")
    settings = {"bypass_list_management": {"enable": True}}
    http.post(f"{url}/v3/mail/send", json={**request_body, "mail_settings": settings})
    assert sendgrid.emails()[0].status == "delivered"


def test_delivery_outcomes_can_be_set_by_address_and_domain(
    http: requests.Session, url: str, sendgrid: SendGrid, request_body: Body
) -> None:
    sendgrid.set_outcome("ada@ada.example", "bounce")
    for _ in range(2):
        http.post(f"{url}/v3/mail/send", json=request_body)
    assert [kept.status for kept in sendgrid.emails()] == ["bounced", "dropped"]
    sendgrid.set_outcome("bert.example", "deferred")
    sendgrid.set_outcome("cora.example", "blocked")
    for who in ("x@bert.example", "x@cora.example", "x@cora.example"):
        http.post(f"{url}/v3/mail/send", json={**request_body, "personalizations": [{"to": [{"email": who}]}]})
    assert [kept.status for kept in sendgrid.emails()[2:]] == ["deferred", "blocked", "blocked"]


def test_script_in_another_process_can_set_delivery_outcomes(
    http: requests.Session, url: str, sandbox: Sandbox
) -> None:
    asked = {"address": "ada@ada.example", "outcome": "bounce"}
    assert http.post(f"{url}/sandbox/sendgrid/set_outcome", json=asked).status_code == 200
    assert sandbox.sendgrid.store.outcomes == {"ada@ada.example": "bounce"}
    assert http.post(f"{url}/sandbox/sendgrid/set_outcome", json={**asked, "outcome": "lost"}).status_code == 400
    assert http.post(f"{url}/sandbox/sendgrid/dance", json={}).status_code == 404
