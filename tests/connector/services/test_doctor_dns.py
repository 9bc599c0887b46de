"""The sender's domain: what is missing is said as a record to copy. The name server is simulated on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from connector.services.doctor_checks import Finding
from connector.services.doctor_dns import check_domain

Zone = dict[tuple[str, str], list[str]]
DOMAIN = "billing.north.co"
KEY = '"v=DKIM1; k=rsa; p=MIGfMA0" "GCSqGSIb3"'
COMPLETE: Zone = {
    (DOMAIN, "TXT"): ['"v=spf1 include:sendgrid.net ~all"', '"another-verification=1"'],
    (f"s1._domainkey.{DOMAIN}", "TXT"): [KEY],
    (f"s2._domainkey.{DOMAIN}", "TXT"): [KEY],
    ("_dmarc.north.co", "TXT"): ['"v=DMARC1; p=None; rua=mailto:a@north.co"'],
    (DOMAIN, "MX"): ["10 mx.north.co."],
}


class NameServer:
    """A name server on 127.0.0.1 that knows one zone; a ``silent`` one never answers."""

    def __init__(self) -> None:
        self.zone: Zone = {}
        self.silent = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def resolver(self) -> dns.resolver.Resolver:
        found = dns.resolver.Resolver(configure=False)
        found.nameservers, found.port = ["127.0.0.1"], self._socket.getsockname()[1]
        return found

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                wire, client = self._socket.recvfrom(4096)
            except OSError:
                return
            if not self.silent:
                self._socket.sendto(self._answer(dns.message.from_wire(wire)).to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        answer, (question,) = dns.message.make_response(query), query.question
        answer.flags |= dns.flags.RA
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        if (name, kind) in self.zone:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *self.zone[name, kind]))
        elif not any(known == name or known.endswith(f".{name}") for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    found = NameServer()
    yield found
    found.close()


def check(server: NameServer, zone: Zone, mailer: str = "sendgrid", reply: str = DOMAIN) -> dict[str, Finding]:
    server.zone = zone
    return {each.id: each for each in check_domain(server.resolver(), DOMAIN, mailer, reply)}


def changed(**records: list[str] | None) -> Zone:
    names = {"spf": (DOMAIN, "TXT"), "s2": (f"s2._domainkey.{DOMAIN}", "TXT"), "s1": (f"s1._domainkey.{DOMAIN}", "TXT"),
             "dmarc": ("_dmarc.north.co", "TXT"), "mx": (DOMAIN, "MX")}  # fmt: skip
    zone = {**COMPLETE, **{names[key]: value for key, value in records.items() if value is not None}}
    return {key: value for key, value in zone.items() if records.get(next(n for n, k in names.items() if k == key), 1)}


def test_a_complete_domain_is_fine(server: NameServer) -> None:
    found = check(server, COMPLETE)
    assert {each.status for each in found.values()} == {"ok"}
    assert set(found) == {"email.dkim", "email.spf", "email.dmarc"}
    assert "p=none" in found["email.dmarc"].message


@pytest.mark.parametrize(
    ("zone", "check_id", "fix"),
    [
        (changed(dmarc=None), "email.dmarc",
         f'Add: _dmarc.{DOMAIN}. TXT "v=DMARC1; p=none; rua=mailto:postmaster@{DOMAIN}"'),
        (changed(dmarc=['"v=DMARC1; p=none"', '"v=DMARC1; p=reject"']), "email.dmarc", "Keep exactly one"),
        (changed(dmarc=['"v=DMARC1; rua=mailto:a@b.co"']), "email.dmarc", "Keep exactly one"),
        (changed(s2=None), "email.dkim", "SendGrid, Settings, Sender Authentication"),
        (changed(s2=['"v=DKIM1; p="']), "email.dkim", "SendGrid, Settings"),
        (changed(spf=None, s1=None), "email.spf", f'Add: {DOMAIN}. TXT "v=spf1 include:sendgrid.net ~all"'),
        (changed(spf=['"v=spf1 include:a.co -all"', '"v=spf1 ip4:192.0.2.1 include:a.co ~all"']), "email.spf",
         f'Keep one: {DOMAIN}. TXT "v=spf1 include:a.co ip4:192.0.2.1 include:sendgrid.net ~all"'),
        (changed(spf=['"v=spf1 include:a.co +all"']), "email.spf",
         f'Change it to: {DOMAIN}. TXT "v=spf1 include:a.co include:sendgrid.net ~all"'),
        (changed(spf=['"v=spf1 include:a.co -all"'], s1=None), "email.spf", "include:a.co include:sendgrid.net ~all"),
        (changed(mx=["0 ."]), "email.mx", "Set MAIL_REPLY_TO to an address that receives email"),
        ({}, "email.dns", "Correct MAIL_FROM."),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_as_a_record_to_copy(server: NameServer, zone: Zone, check_id: str, fix: str) -> None:
    finding = check(server, zone)[check_id]
    assert finding.status == "warning"
    assert fix in finding.fix


def test_sendgrid_needs_no_spf_record_where_the_domain_is_authenticated(server: NameServer) -> None:
    assert check(server, changed(spf=None))["email.spf"].status == "ok"
    assert check(server, changed(spf=['"v=spf1 -all"']))["email.spf"].status == "ok"


def test_the_keys_of_an_unknown_email_server_cannot_be_missed_for_sure(server: NameServer) -> None:
    found = check(server, changed(s1=None, s2=None), mailer="smtp")
    assert "may use another" in found["email.dkim"].message
    assert check(server, COMPLETE, mailer="smtp")["email.dkim"].status == "ok"
    assert "YOUR-EMAIL-SERVICE" in check(server, changed(spf=None), mailer="smtp")["email.spf"].fix


@pytest.mark.parametrize("domain", ["north.example", "gmail.com", "localhost", "mail.test"])
def test_domains_that_are_nobodys_own_are_not_looked_up(server: NameServer, domain: str) -> None:
    assert list(check_domain(server.resolver(), domain, "sendgrid", domain)) == []


def test_a_domain_of_microsofts_is_warned_of(server: NameServer) -> None:
    domain = "larkspur.onmicrosoft.com"
    (finding,) = check_domain(server.resolver(), domain, "microsoft365", domain)
    assert finding.status == "warning"
    assert "100 outside recipients a day" in finding.message


def test_a_name_server_that_does_not_answer_says_nothing_about_the_domain(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.services.doctor_dns.LOOKUP_SECONDS", 0.2)
    monkeypatch.setattr(server, "silent", True)
    (finding,) = check(server, COMPLETE).values()
    assert finding.status == "warning"
    assert "could not be looked up" in finding.message
