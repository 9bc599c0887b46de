"""Outgoing webhooks: which events are sent, how they are signed and retried, and where they never go."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from connector.arrangements import agreements
from connector.audit import sync_log
from connector.db.engine import reading, writing
from connector.db.tables import CustomerRow, InvoiceRow, WebhookDelivery, WebhookEndpoint
from connector.services import invoices
from connector.services.key_rotation import rotate
from connector.vocabulary import LogKind
from connector.webhooks import delivery, endpoints
from connector.webhooks.address_rules import DisallowedAddressError
from connector.webhooks.safe_post import PostResult, check_url, safe_post
from policies.receivables import InvoiceStatus

Site = Any


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"duewell_webhooks": "private"}


@dataclass
class Receiver:
    """A server that records requests and responds with ``status``."""

    port: int = 0
    status: int = 200
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/hooks?a=1"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    with serve_receiver(found, None):
        yield found


def serve_receiver(found: Receiver, context: ssl.SSLContext | None) -> Any:
    from contextlib import contextmanager  # noqa: PLC0415

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(found.status)
            self.send_header("Location", found.url)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    @contextmanager
    def served() -> Iterator[None]:
        server = HTTPServer(("127.0.0.1", 0), Handler)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        found.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield
        server.shutdown()
        server.server_close()

    return served()


def write_log_line(site: Site, company: int | None, kind: str = "emailed", **facts: Any) -> None:
    with writing(site.app.engine) as session:
        at = site.clock.at
        sync_log.write(session, at=at, kind=LogKind(kind), text=f"{kind} happened", connection_id=company, facts=facts)


def list_deliveries(site: Site) -> list[WebhookDelivery]:
    with reading(site.app.engine) as session:
        return list(session.scalars(select(WebhookDelivery).order_by(col(WebhookDelivery.id))))


def test_subscribed_events_are_sent_once_and_signed(site: Site, receiver: Receiver) -> None:
    north, south = site.add_company("North Ltd"), site.add_company("South Ltd")
    write_log_line(site, north)  # before anybody subscribed
    wanted = ["email.sent", "invoice.promised"]
    endpoint, secret = endpoints.add_endpoint(
        site.app, receiver.url, events=wanted, companies=[north], by="Ann"
    )  # fmt: skip
    day = site.clock.at.date()
    site.add_rows(
        CustomerRow(connection_id=north, external_id="c", name="Miller"),
        InvoiceRow(connection_id=north, external_id="i", number="I-1", customer_id="c", currency="GBP",
                   issued_on=day, status=InvoiceStatus.OPEN, is_open=True),
    )  # fmt: skip
    for company, kind in ((north, "emailed"), (south, "emailed"), (north, "run_ended"), (north, "charged")):
        write_log_line(site, company, kind, entry=7)
    with reading(site.app.engine) as session:
        invoice = session.get_one(InvoiceRow, (north, "i"))
    invoices.record_agreement(site.app, invoice, "Bob", agreements.set_promise, on=day)
    assert delivery.deliver_pending(site.app) == 2
    assert delivery.deliver_pending(site.app) == 0
    (headers, body), (_headers, promised) = receiver.received
    said = json.loads(body)
    assert (said["type"], said["data"]["connection"], said["data"]["facts"]) == (
        "email.sent",
        "north-ltd",
        {"entry": 7},
    )
    assert json.loads(promised)["data"]["text"].startswith("Bob: invoice I-1 is promised")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert int(headers["webhook-timestamp"]) == int(site.clock.at.timestamp())
    assert headers["host"] == f"localhost:{receiver.port}"
    with reading(site.app.engine) as session:
        assert key not in session.get_one(WebhookEndpoint, endpoint).secret
    rotate(site.app)
    database = site.app.settings.duewell_home / "duewell.db"
    stored = b"".join(file.read_bytes() for file in database.parent.glob(f"{database.name}*"))
    assert receiver.url.encode() not in stored
    endpoints.send_test(site.app, endpoint, by="Ann")
    assert delivery.deliver_pending(site.app) == 1
    endpoints.remove_endpoint(site.app, endpoint, by="Ann")
    write_log_line(site, north)
    assert (delivery.deliver_pending(site.app), len(receiver.received), list_deliveries(site)) == (0, 3, [])


def test_an_event_that_is_not_accepted_is_repeated_with_the_same_id_until_the_webhook_stops(
    site: Site, receiver: Receiver
) -> None:
    north = site.add_company("North Ltd")
    endpoint, _secret = endpoints.add_endpoint(site.app, receiver.url, by="Ann")
    write_log_line(site, north)
    for status, tries in ((500, 1), (302, 2), (404, 3)):
        receiver.status = status
        assert delivery.deliver_pending(site.app) == 0
        (row,) = list_deliveries(site)
        assert (row.state, row.status, row.attempts) == ("pending", status, tries)
        assert delivery.deliver_pending(site.app) == 0  # not retried at once
        assert len(receiver.received) == tries
        site.clock.at = row.next_attempt_at
    receiver.status = 204
    assert delivery.deliver_pending(site.app) == 1
    assert len({headers["webhook-id"] for headers, _body in receiver.received}) == 1
    assert len({headers["webhook-timestamp"] for headers, _body in receiver.received}) > 1
    write_log_line(site, north)
    receiver.status = 500
    began = site.clock.at + dt.timedelta(seconds=1)
    site.clock.at = began
    while (row := (delivery.deliver_pending(site.app), list_deliveries(site)[-1])[1]).state == "pending":
        site.clock.at = row.next_attempt_at
    assert row.state == "abandoned"
    assert dt.timedelta(days=2) < site.clock.at - began < dt.timedelta(days=4)
    with reading(site.app.engine) as session:
        assert "responded with 500" in session.get_one(WebhookEndpoint, endpoint).stop_reason
    write_log_line(site, north)
    assert delivery.deliver_pending(site.app) == 0
    receiver.status = 200
    endpoints.resume_endpoint(site.app, endpoint, by="Ann")
    assert delivery.deliver_pending(site.app) == 1


def test_a_message_that_is_never_accepted_does_not_stop_a_webhook_that_accepts_others(site: Site) -> None:
    north, seen = site.add_company("North Ltd"), list[str]()
    endpoint, _secret = endpoints.add_endpoint(site.app, "https://hooks.example/", by="Ann")

    def reject_the_first(_url: str, _body: bytes, headers: Any, _networks: str) -> PostResult:
        seen.append(headers["webhook-id"])
        return PostResult(500, "it responded with 500") if seen[-1] == seen[0] else PostResult(204, "")

    write_log_line(site, north)
    delivery.deliver_pending(site.app, send=reject_the_first)
    write_log_line(site, north)
    while (first := list_deliveries(site)[0]).state == "pending":
        site.clock.at = first.next_attempt_at
        delivery.deliver_pending(site.app, send=reject_the_first)
    assert [each.state for each in list_deliveries(site)] == ["abandoned", "done"]
    with reading(site.app.engine) as session:
        assert session.get_one(WebhookEndpoint, endpoint).stop_reason == ""


def test_an_interrupted_attempt_is_repeated_and_one_dead_endpoint_delays_no_other(site: Site) -> None:
    north, told = site.add_company("North Ltd"), []
    for path in ("dead", "well"):
        endpoints.add_endpoint(site.app, f"https://hooks.example/{path}", by="Ann")

    def killed(*_: Any) -> PostResult:
        raise KeyboardInterrupt

    def send(url: str, _body: bytes, headers: Any, _reach: str) -> PostResult:
        told.append((url.rpartition("/")[2], headers["webhook-id"]))
        return PostResult(None, "it did not respond in time") if url.endswith("dead") else PostResult(200, "")

    for _ in range(5):
        write_log_line(site, north)
    with pytest.raises(KeyboardInterrupt):
        delivery.deliver_pending(site.app, send=killed)
    assert delivery.deliver_pending(site.app, send=send) == 5
    assert [name for name, _id in told].count("dead") == 3  # then the others wait for the next pass
    site.clock.advance(minutes=3)
    told.clear()
    delivery.deliver_pending(site.app, send=send)
    assert "dead" in [name for name, _id in told]


def test_nothing_is_sent_while_webhooks_are_off(site: Site, receiver: Receiver) -> None:
    endpoints.add_endpoint(site.app, receiver.url, by="Ann")
    write_log_line(site, site.add_company("North Ltd"))
    from dataclasses import replace  # noqa: PLC0415

    off = replace(site.app, settings=site.app.settings.model_copy(update={"duewell_webhooks": "off"}))
    assert delivery.deliver_pending(off) == 0
    assert receiver.received == []
    with pytest.raises(DisallowedAddressError, match="switched off"):
        endpoints.add_endpoint(off, receiver.url, by="Ann")


@pytest.mark.parametrize(
    ("address", "public", "private"),
    [
        ("93.184.215.14", True, True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True, True),
        ("127.0.0.1", False, True),
        ("10.1.2.3", False, True),
        ("192.168.0.9", False, True),
        ("100.64.0.1", False, True),
        ("::1", False, True),
        ("fd00::1", False, True),
        ("::ffff:10.1.2.3", False, True),
        ("64:ff9b::a01:203", False, True),
        ("2002:a01:203::1", False, True),
        ("2a00:1450:4001:80e::200e", True, True),
        ("64:ff9b::5db8:d70e", True, True),  # a public IPv4 address, from a machine without IPv4
        ("::ffff:93.184.215.14", True, True),
        ("2002:5db8:d70e::1", False, True),
        ("2001::5db8:d70e", False, True),
        ("2001:db8::1", False, True),
        ("3fff::1", False, True),
        ("4000::1", False, True),  # not assigned to anybody yet
        ("1fff::1", False, True),
        ("fec0::1", False, True),
        ("64:ff9b:1::a01:203", False, True),
        ("::a01:203", False, True),
        ("100::1", False, True),
        ("192.88.99.1", False, True),
        ("192.0.0.9", False, True),
        ("198.19.0.1", False, True),
        ("203.0.113.9", False, True),
        ("240.0.0.1", False, True),
        ("0.1.2.3", False, True),
        ("255.255.255.255", False, True),
        ("::169.254.169.254", False, False),
        ("168.63.129.16", False, False),
        ("100.100.100.200", False, False),
        ("fd00:ec2::254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("ff02::1", False, False),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1", False, False),
        ("0.0.0.0", False, False),
        ("224.0.0.1", False, False),
    ],
)
def test_only_allowed_networks_are_reached(
    address: str, public: bool, private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[str] = []

    def sent(_scheme: str, target: str, *_: Any) -> PostResult:
        reached.append(target)
        return PostResult(200, "")

    monkeypatch.setattr("connector.webhooks.safe_post._send", sent)
    for reach, allowed in (("public", public), ("private", private)):
        names = (
            ["93.184.215.14", address] if not allowed else [address]
        )  # one disallowed address among several is enough
        reached.clear()
        try:
            safe_post("https://hooks.example/", b"{}", {}, reach, resolve=lambda _host, _port, names=names: names)  # type: ignore[arg-type, misc]
        except DisallowedAddressError:
            assert not allowed
        assert reached == ([address] if allowed else [])


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://", "https://user:pw@example.com/", "https://a b.example/",
        "https://example.com/#part", "https://example.com:0/", "https://example.com:99999/", "https://exämple.com/",
        "https://[::1", "https://[x]/", "file:///etc/passwd", "https://example.com/\r\nX: y",
    ],
)  # fmt: skip
def test_an_invalid_address_is_rejected(url: str) -> None:
    with pytest.raises(DisallowedAddressError):
        check_url(url, "public")


def test_the_connection_goes_to_the_checked_address_and_verifies_the_host_names_certificate(
    tmp_path: Path,
) -> None:
    authority, context = create_certificate(tmp_path, "hooks.example")
    found, answers = Receiver(), []
    with serve_receiver(found, context):
        for name, trusted in (("hooks.example", authority), ("other.example", authority), ("hooks.example", None)):
            url = f"https://{name}:{found.port}/"
            answers.append(
                safe_post(url, b"{}", {}, "private", resolve=lambda *_: ["127.0.0.1"], ca_bundle=trusted)
            )  # fmt: skip
    assert answers == [
        PostResult(200, "it responded with 200"),
        PostResult(None, "its certificate is not valid"),
        PostResult(None, "its certificate is not valid"),
    ]
    assert len(found.received) == 1


def create_certificate(folder: Path, name: str) -> tuple[str, ssl.SSLContext]:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + dt.timedelta(days=2))
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("10.9.9.9"))]
    signed = made.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(pem)
    (folder / "both.pem").write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return str(folder / "ca.pem"), context
