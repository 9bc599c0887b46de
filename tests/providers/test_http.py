"""The transport: what is sent, what is retried, and how failures are classified."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
import requests
import responses
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from providers.calls import CallKind
from providers.errors import LimitWindow, OutcomeUnknown, PermanentError, ProviderError, RateLimited, TransientError
from providers.http import Service, TransportLimits, hosts_of, install_transport, require_json

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SERVICE = Service("Service", frozenset({"api.vendor.test", "127.0.0.1"}), "X-Trace", "X-Limit")
URL = "https://api.vendor.test/things"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class RecordingCalls:
    """A call observer that records."""

    def __init__(self) -> None:
        self.kinds_before: list[str] = []
        self.after_calls: list[tuple[str, int]] = []
        self.headers: Mapping[str, str] = {}
        self.refuses: ProviderError | None = None

    def before(self, kind: str) -> None:
        if self.refuses:
            raise self.refuses
        self.kinds_before.append(kind)

    def after(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        self.after_calls.append((kind, status))
        self.headers = headers


class TransportBench:
    """A guarded session, its calls and its sleeps."""

    def __init__(self, kind: CallKind | None = None, **limits: float) -> None:
        self.calls = RecordingCalls()
        self.sleeps_s: list[float] = []
        self.session = requests.Session()
        given = TransportLimits(sleep=self.sleeps_s.append, now=lambda: NOW, **limits)  # type: ignore[arg-type]
        if kind:
            install_transport(self.session, SERVICE, self.calls, kind, limits=given)
        else:
            install_transport(self.session, SERVICE, self.calls, limits=given)


class Requests(list[bytes]):
    """The requests that reached a server; a client that gave up may be ahead of the thread that reads them."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def append(self, request: bytes) -> None:
        with self._changed:
            super().append(request)
            self._changed.notify_all()

    def arrived(self, expected: int) -> int:
        """Return the number of requests, once ``expected`` have arrived or a minute has passed."""
        with self._changed:
            self._changed.wait_for(lambda: len(self) >= expected, timeout=60)
            return len(self)


@contextmanager
def server(answer: Callable[[socket.socket, bytes], None], *, hello: bool = True) -> Iterator[tuple[str, Requests]]:
    """Serve each request (or, without ``hello``, each connection) with ``answer``; yields the URL and the requests."""
    got = Requests()
    listener = socket.create_server(("127.0.0.1", 0))

    def treat(connection: socket.socket) -> None:
        with connection:
            if not hello:
                with suppress(OSError):
                    answer(connection, b"")
                return
            while request := _request(connection):
                got.append(request)
                try:
                    answer(connection, request)
                except OSError:
                    return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=treat, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", got
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(2)


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = connection.recv(65536)
        except OSError:
            return b""
        if not piece:
            return b""
        data += piece
    return data


def replies_with(reply: bytes, *, then_close: bool = False) -> Callable[[socket.socket, bytes], None]:
    def answer(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(reply)
        if then_close:
            connection.shutdown(socket.SHUT_RDWR)

    return answer


def hang(_connection: socket.socket, _request: bytes) -> None:
    threading.Event().wait(1)


def test_response_is_returned_complete_and_counted() -> None:
    bench = TransportBench()
    with server(replies_with(b"HTTP/1.1 200 OK\r\nX-Left: 7\r\nContent-Length: 4\r\n\r\n[42]")) as (url, _):
        reply = bench.session.get(url)
    assert reply.json() == [42]
    assert bench.calls.kinds_before == ["read"]
    assert bench.calls.after_calls == [("read", 200)]
    assert bench.calls.headers["x-left"] == "7"


def test_one_connection_serves_many_calls() -> None:
    ports: set[int] = set()

    def answer(connection: socket.socket, _request: bytes) -> None:
        ports.add(connection.getpeername()[1])
        connection.sendall(OK)

    bench = TransportBench()
    with server(answer) as (url, got):
        for _ in range(5):
            bench.session.get(url)
    assert (len(got), len(ports)) == (5, 1)


def test_response_that_ends_with_its_connection_is_read() -> None:
    with server(replies_with(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[1,2]", then_close=True)) as (url, _):
        assert TransportBench().session.get(url).json() == [1, 2]


def test_chunked_response_is_read() -> None:
    with server(
        replies_with(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n")
    ) as (
        url,
        _,
    ):
        assert TransportBench().session.get(url).json() == [1, 2]


def test_gzip_is_requested_and_decompressed() -> None:
    packed = gzip.compress(b"[" + b"1," * 100_000 + b"1]")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with server(replies_with(head + packed)) as (url, got):
        assert len(TransportBench().session.get(url).json()) == 100_001
    assert b"Accept-Encoding: gzip\r\n" in got[0]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_body_over_the_limit_is_not_read_completely(encoding: str) -> None:
    body = b"a" * 3_000_000
    packed = gzip.compress(body) if encoding == "gzip" else body
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    bench = TransportBench(body_bytes_max=2_000_000)
    with server(replies_with(head + packed)) as (url, got):
        with pytest.raises(TransientError, match="MiB"):
            bench.session.get(url)
        assert len(got) == 1
        with pytest.raises(OutcomeUnknown):
            bench.session.post(url)


def test_redirect_is_never_followed() -> None:
    with server(replies_with(OK)) as (elsewhere, strangers):
        moved = f"HTTP/1.1 301 Moved\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode()
        with server(replies_with(moved)) as (url, got):
            with pytest.raises(TransientError, match="redirect"):
                TransportBench().session.get(url, headers={"Authorization": "Bearer secret"})
            with pytest.raises(OutcomeUnknown, match="redirect"):
                TransportBench().session.post(url)
        assert (len(got), strangers) == (2, [])


@pytest.mark.parametrize(
    "url", ["https://evil.test/x", "http://api.vendor.test/x", "https://api.vendor.test.evil.test/"]
)
def test_only_known_hosts_are_called_and_only_over_tls(url: str) -> None:
    bench = TransportBench()
    with pytest.raises(PermanentError, match="nothing was sent"):
        bench.session.get(url)
    assert bench.calls.kinds_before == []


def test_refused_connection_means_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransientError, match=r"no connection.*nothing was sent"):
        TransportBench().session.put(f"http://127.0.0.1:{port}/")


def test_failed_tls_handshake_means_nothing_was_sent() -> None:
    with server(hang) as (url, _), pytest.raises(TransientError, match="nothing was sent"):
        TransportBench(connect_timeout_s=0.2).session.put(url.replace("http://", "https://"))


def cut(connection: socket.socket, _request: bytes) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket, _request: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def send_slowly(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(30):
        connection.sendall(b" ")
        threading.Event().wait(0.05)


def send_headers_slowly(connection: socket.socket, _request: bytes) -> None:
    for _ in range(30):
        connection.sendall(b"H")
        threading.Event().wait(0.05)


FAULTS_AFTER_SENDING = {
    "cut": cut,
    "reset": reset,
    "silent": hang,
    "dripping": send_slowly,
    "dripping headers": send_headers_slowly,
    "not HTTP": replies_with(b"hello there\r\n\r\n", then_close=True),
    "cut status line": replies_with(b"HTTP/1.", then_close=True),
    "cut body": replies_with(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", then_close=True),
    "cut chunk": replies_with(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf", then_close=True),
    "bad gzip": replies_with(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"),
}


@pytest.mark.parametrize("fault", FAULTS_AFTER_SENDING)
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_write_with_a_lost_response_is_sent_once_and_has_an_unknown_outcome(fault: str, method: str) -> None:
    bench = TransportBench(read_timeout_s=0.3, call_timeout_s=0.4)
    with server(FAULTS_AFTER_SENDING[fault]) as (url, got):
        with pytest.raises(OutcomeUnknown, match="was sent"):
            bench.session.request(method, url)
        assert got.arrived(1) == 1
    assert (bench.sleeps_s, bench.calls.after_calls) == ([], [("write", 0)])


@pytest.mark.parametrize("fault", FAULTS_AFTER_SENDING)
def test_read_with_a_lost_response_is_retried_at_once_and_then_later(fault: str) -> None:
    bench = TransportBench(read_timeout_s=0.3, call_timeout_s=0.4, attempts_max=2)
    with server(FAULTS_AFTER_SENDING[fault]) as (url, got):
        with pytest.raises(TransientError):
            bench.session.get(url)
        assert got.arrived(2) == 2
    assert bench.sleeps_s == [1]


def test_call_kind_can_be_set_for_a_whole_session() -> None:
    bench = TransportBench(kind=CallKind.TOKEN)
    with server(cut) as (url, got):
        with pytest.raises(OutcomeUnknown):
            bench.session.get(url)
        assert got.arrived(1) == 1


@responses.activate
def test_read_from_a_busy_server_is_retried_and_succeeds() -> None:
    responses.get(URL, status=503, body="<html>down</html>")
    responses.get(URL, status=429, headers={"Retry-After": "5"})
    responses.get(URL, json={})
    bench = TransportBench()
    assert bench.session.get(URL).status_code == 200
    assert bench.sleeps_s == [1, 5]
    assert bench.calls.after_calls == [("read", 503), ("read", 429), ("read", 200)]


@responses.activate
def test_reads_wait_at_most_a_minute() -> None:
    responses.get(URL, status=429, headers={"Retry-After": "25"})
    bench = TransportBench()
    with pytest.raises(RateLimited) as caught:
        bench.session.get(URL)
    assert bench.sleeps_s == [25, 25]
    assert caught.value.retry_at == NOW + timedelta(seconds=25)


@responses.activate
def test_daily_limit_is_reported_at_once_with_its_end() -> None:
    responses.get(URL, status=429, headers={"Retry-After": "66975", "X-Limit": "day", "X-Trace": "t1"})
    bench = TransportBench()
    with pytest.raises(RateLimited, match="day") as caught:
        bench.session.get(URL)
    assert (caught.value.limit, caught.value.trace_id, bench.sleeps_s) == ("day", "t1", [])
    assert caught.value.retry_at == NOW + timedelta(seconds=66975)


@responses.activate
@pytest.mark.parametrize(
    ("value", "after"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("90", timedelta(seconds=90)),
        ("1.5", timedelta(seconds=1.5)),
        ("99999999999999999999", timedelta(days=1)),
        (format_datetime(NOW + timedelta(minutes=3), usegmt=True), timedelta(minutes=3)),
        (format_datetime(NOW - timedelta(minutes=3), usegmt=True), None),
    ],
)
def test_limit_stops_a_write_at_once_until_the_time_given(value: str | None, after: timedelta | None) -> None:
    responses.put(URL, status=429, headers={} if value is None else {"Retry-After": value})
    bench = TransportBench()
    with pytest.raises(RateLimited) as caught:
        bench.session.put(URL)
    assert caught.value.retry_at == (NOW + after if after else None)
    assert (len(responses.calls), bench.sleeps_s) == (1, [])


@responses.activate
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_server_error_on_a_write_has_an_unknown_outcome(status: int) -> None:
    responses.put(URL, status=status, body="<!DOCTYPE html><title>Sorry</title>")
    with pytest.raises(OutcomeUnknown, match=rf"{status} \(.*\) with an HTML page"):
        TransportBench().session.put(URL)
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 403, 404, 412, 501])
def test_other_statuses_are_left_to_the_provider(status: int) -> None:
    responses.get(URL, status=status)
    assert TransportBench().session.get(URL).status_code == status


@responses.activate
def test_exhausted_budget_stops_a_call_before_it_is_made() -> None:
    responses.get(URL, json={})
    bench = TransportBench()
    bench.calls.refuses = RateLimited("the day's calls are used up", limit=LimitWindow.DAY)
    with pytest.raises(RateLimited):
        bench.session.get(URL)
    assert (len(responses.calls), bench.sleeps_s) == (0, [])


@responses.activate
def test_html_page_with_status_200_is_recognised() -> None:
    responses.get(URL, body=b"\n <html><body>maintenance</body></html>")
    responses.put(URL, body=b"")
    session = TransportBench().session
    with pytest.raises(TransientError, match="an HTML page instead of JSON"):
        require_json(session.get(URL), SERVICE, CallKind.READ)
    with pytest.raises(OutcomeUnknown, match="an empty body"):
        require_json(session.put(URL), SERVICE, CallKind.WRITE)


@pytest.mark.parametrize("fault", [cut, replies_with(b"HTTP/1.1 503 X\r\nContent-Length: 6\r\n\r\ncanary")])
def test_no_error_contains_a_secret(fault: Callable[[socket.socket, bytes], None]) -> None:
    with server(fault) as (url, _), pytest.raises(ProviderError) as caught:
        TransportBench().session.post(f"{url}?token=canary", data="canary", headers={"Authorization": "Bearer canary"})
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_proxies_and_netrc_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with server(replies_with(OK)) as (url, got):
        TransportBench().session.get(url, proxies={"http": "http://127.0.0.1:9"})
    assert len(got) == 1


def test_cookies_are_not_kept() -> None:
    with server(replies_with(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}")) as (url, got):
        session = TransportBench().session
        session.get(url)
        session.get(url)
    assert b"cookie" not in got[1].lower()


def test_allowlist_comes_from_the_settings() -> None:
    assert hosts_of("https://api.xero.com", "http://localhost:8710/x") == {"api.xero.com", "localhost"}


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that only this test trusts, and a server context that uses it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(pem, private, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    return tmp_path / "certificate.pem", context


@pytest.fixture
def trusted(tls: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(tls[0]))
    return tls[1]


def over_tls(context: ssl.SSLContext, answer: Callable[[socket.socket, bytes], None]) -> Callable[..., None]:
    def answered(connection: socket.socket, _hello: bytes) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            while request := _request(wrapped):
                answer(wrapped, request)

    return answered


@contextmanager
def tls_server(context: ssl.SSLContext, answer: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    with server(over_tls(context, answer), hello=False) as (url, _):
        yield url.replace("http://", "https://")


def test_response_over_tls_is_read_completely(trusted: ssl.SSLContext) -> None:
    body = b"[" + b"1," * 1_000_000 + b"1]"
    with tls_server(trusted, replies_with(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)) as url:
        session = TransportBench().session
        assert [len(session.get(url).content) for _ in range(2)] == [len(body)] * 2


@pytest.mark.parametrize("fault", ["cut", "silent", "dripping headers", "cut body"])
def test_write_over_tls_with_a_lost_response_has_an_unknown_outcome(trusted: ssl.SSLContext, fault: str) -> None:
    bench = TransportBench(read_timeout_s=0.3, call_timeout_s=0.4)
    with tls_server(trusted, FAULTS_AFTER_SENDING[fault]) as url, pytest.raises(OutcomeUnknown):
        bench.session.put(url, data="x")


def test_nothing_is_sent_to_a_server_with_an_untrusted_certificate(tls: tuple[Path, ssl.SSLContext]) -> None:
    got: list[bytes] = []

    def answer(connection: socket.socket, request: bytes) -> None:
        got.append(request)
        connection.sendall(OK)

    with tls_server(tls[1], answer) as url, pytest.raises(TransientError, match="nothing was sent"):
        TransportBench().session.put(url, data="secret", verify=False)
    assert got == []
