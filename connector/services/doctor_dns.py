"""The doctor's check of the sender's domain: SPF, DKIM and DMARC, which Gmail, Yahoo and Microsoft ask for.

Only the domains of ``MAIL_FROM`` and ``MAIL_REPLY_TO`` are looked up, with this machine's own name server, and only
when the doctor runs. What is missing is said as a record that can be copied into the domain's settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import dns.exception
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

from connector.app_context import AppContext
from connector.connections.mailboxes import mailer_name
from connector.services.doctor_checks import OK, WARNING, Finding

LOOKUP_SECONDS = 4.0
_RESERVED_ENDINGS = (".example", ".test", ".invalid", ".localhost", ".local", ".internal")
_TENANT_ENDING = ".onmicrosoft.com"  # Microsoft's own records; emails from there are limited
_FREE_DOMAINS = frozenset({"gmail.com", "googlemail.com", "yahoo.com", "outlook.com", "hotmail.com", "icloud.com"})


@dataclass(frozen=True, slots=True)
class _Service:
    """What an email service needs in DNS: what its SPF includes, and the names (selectors) of its DKIM keys."""

    title: str
    spf: str
    selectors: tuple[str, ...]
    where: str  # where it shows its DKIM records
    signs_own_return_path: bool = False  # its own bounce domain passes SPF: no record of the sender's is needed


_SERVICES = {
    "sendgrid": _Service(
        "SendGrid", "include:sendgrid.net", ("s1", "s2"),
        "SendGrid, Settings, Sender Authentication, Authenticate Your Domain", signs_own_return_path=True,
    ),
    "microsoft365": _Service(
        "Microsoft 365", "include:spf.protection.outlook.com", ("selector1", "selector2"),
        "the Microsoft Defender portal, Email authentication settings, DKIM",
    ),
    "gmail": _Service(
        "Google", "include:_spf.google.com", ("google",), "the Google Admin console, Apps, Gmail, Authenticate email"
    ),
}  # fmt: skip
_OTHER = _Service(
    "your email service", "", ("default", "dkim", "s1", "s2", "selector1", "selector2", "google", "k1"),
    "your email service's own pages",
)  # fmt: skip


class _Unanswered(Exception):
    """The name server does not answer: nothing is known about the domain."""


class SenderDns:
    """The records of one domain, as its name servers have them."""

    def __init__(self, resolver: dns.resolver.Resolver, domain: str) -> None:
        """Use a resolver for a domain."""
        self._resolver, self.domain = resolver, domain

    def texts(self, name: str, beginning: str) -> list[str]:
        """Return the TXT records of a name that begin like this, each with its parts joined."""
        records = (each for each in self._records(name, "TXT") if isinstance(each, TXT))
        found = [b"".join(each.strings).decode("utf-8", "replace") for each in records]
        return [each for each in sorted(found) if each.replace(" ", "").casefold().startswith(beginning)]

    def accepts_email(self, name: str) -> bool:
        """Return whether email to a domain has somewhere to go: a server for it, or an address of the domain itself."""
        servers = [each for each in self._records(name, "MX") if isinstance(each, MX)]
        if servers:
            return any(str(each.exchange) != "." for each in servers)
        return bool(self._records(name, "A") or self._records(name, "AAAA"))

    def exists(self) -> bool:
        """Return whether there is such a domain."""
        try:
            self._resolver.resolve(self.domain, "SOA", raise_on_no_answer=False, lifetime=LOOKUP_SECONDS)
        except dns.resolver.NXDOMAIN:
            return False
        except dns.exception.DNSException as problem:
            raise _Unanswered(type(problem).__name__) from None
        return True

    def _records(self, name: str, kind: str) -> list[dns.rdata.Rdata]:
        try:
            return list(self._resolver.resolve(name, kind, lifetime=LOOKUP_SECONDS))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.DNSException as problem:
            raise _Unanswered(type(problem).__name__) from None


def sender_domain(app: AppContext) -> Iterator[Finding]:
    """Check the records of the sender's domain."""
    domain = _domain_of(app.settings.mail_from)
    name = mailer_name(app)
    if domain and name not in {"", "eml"}:
        try:
            resolver = dns.resolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            yield Finding("email.dns", OK, "This machine has no name server: SPF, DKIM and DMARC were not looked up.")
            return
        yield from check_domain(resolver, domain, name, _domain_of(app.settings.mail_reply_to) or domain)


def check_domain(resolver: dns.resolver.Resolver, domain: str, mailer: str, reply_domain: str) -> Iterator[Finding]:
    """Check the records of a domain whose emails a mailer sends."""
    if domain.endswith(_RESERVED_ENDINGS) or domain in _FREE_DOMAINS or "." not in domain:
        return  # no domain of one's own: another check says so
    if domain.endswith(_TENANT_ENDING):
        text = f"{domain} is no domain of your own: Microsoft lets it write to 100 outside recipients a day."
        fix = "Add your own domain in the Microsoft 365 admin centre, and set MAIL_FROM to an address of it."
        yield Finding("email.dns", WARNING, text, fix)
        return
    records, service = SenderDns(resolver, domain), _SERVICES.get(mailer, _OTHER)
    try:
        if not records.exists():
            yield Finding("email.dns", WARNING, f"There is no domain {domain}.", "Correct MAIL_FROM.")
            return
        has_dkim = _find_keys(records, service)
        yield _check_dkim(domain, service, has_dkim=has_dkim)
        yield _check_spf(records, service, has_dkim=has_dkim is True)
        yield _check_dmarc(records)
        if not records.accepts_email(reply_domain):
            fix = f"Set MAIL_REPLY_TO to an address that receives email, or add an MX record to {reply_domain}."
            yield Finding("email.mx", WARNING, f"Replies go to {reply_domain}, which receives no email.", fix)
    except _Unanswered as problem:
        text = f"SPF, DKIM and DMARC of {domain} could not be looked up ({problem})."
        yield Finding("email.dns", WARNING, text, "Check this machine's name server, then run the doctor again.")


def _find_keys(records: SenderDns, service: _Service) -> bool | None:
    """Return whether the service's DKIM keys are published; None where their names are not known."""
    found = [records.texts(f"{name}._domainkey.{records.domain}", "") for name in service.selectors]
    keys = [any(_tag(text, "p") for text in texts) for texts in found]
    if service is _OTHER:
        return True if any(keys) else None
    return all(keys) if service.signs_own_return_path else any(keys)


def _check_dkim(domain: str, service: _Service, *, has_dkim: bool | None) -> Finding:
    if has_dkim:
        return Finding("email.dkim", OK, f"{domain} has a DKIM key: emails can be signed.")
    if has_dkim is None:
        text = f"No DKIM key of {domain} was found under the usual names; your email service may use another."
        return Finding("email.dkim", WARNING, text, f"See {service.where}: emails must be signed with {domain}.")
    names = ", ".join(f"{name}._domainkey.{domain}" for name in service.selectors)
    text = f"{domain} lacks the DKIM keys of {service.title} ({names})."
    return Finding("email.dkim", WARNING, text, f"Copy the records that are shown here: {service.where}.")


def _check_spf(records: SenderDns, service: _Service, *, has_dkim: bool) -> Finding:
    domain, found = records.domain, records.texts(records.domain, "v=spf1")
    wanted = service.spf or "include:THE-NAME-YOUR-EMAIL-SERVICE-GIVES"
    if len(found) > 1:
        text = f"{domain} has {len(found)} SPF records; receivers reject all of them."
        return Finding("email.spf", WARNING, text, f"Keep one: {_record(domain, _merged(found, service.spf))}")
    if not found:
        if service.signs_own_return_path and has_dkim:
            return Finding(
                "email.spf", OK, f"{service.title} sends with a return address of its own, which passes SPF."
            )
        text = f"{domain} has no SPF record: receivers cannot tell who may send for it."
        return Finding("email.spf", WARNING, text, f"Add: {_record(domain, f'v=spf1 {wanted} ~all')}")
    (spf,) = found
    if re.search(r"(^|\s)\+?all(\s|$)", spf.casefold()):
        text = f"The SPF record of {domain} lets anybody send for it (+all)."
        return Finding("email.spf", WARNING, text, f"Change it to: {_record(domain, _merged(found, service.spf))}")
    if service.spf and service.spf not in spf.casefold() and not (service.signs_own_return_path and has_dkim):
        text = f"The SPF record of {domain} does not name {service.title}."
        return Finding("email.spf", WARNING, text, f"Change it to: {_record(domain, _merged(found, service.spf))}")
    return Finding("email.spf", OK, f"{domain} has an SPF record.")


def _check_dmarc(records: SenderDns) -> Finding:
    """Check the policy of the domain or, as receivers do, of the one above it."""
    labels = records.domain.split(".")
    above = [".".join(labels[start:]) for start in range(len(labels) - 1)]
    found: list[str] = []
    for name in above:
        found = records.texts(f"_dmarc.{name}", "v=dmarc1")
        if found:
            break
    domain = records.domain
    proposal = _record(f"_dmarc.{domain}", f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}")
    if not found:
        text = f"{domain} has no DMARC record, which Gmail, Yahoo and Microsoft ask of senders."
        return Finding("email.dmarc", WARNING, text, f"Add: {proposal}")
    if len(found) > 1 or _tag(found[0], "p").casefold() not in {"none", "quarantine", "reject"}:
        text = f"The DMARC record of {domain} is not valid: receivers ignore it."
        return Finding("email.dmarc", WARNING, text, f"Keep exactly one: {proposal}")
    return Finding("email.dmarc", OK, f"{domain} has a DMARC record (p={_tag(found[0], 'p').casefold()}).")


def _merged(found: Iterable[str], include: str) -> str:
    """Return one SPF record that allows what these do, and the service."""
    words = [word for text in found for word in text.split()[1:] if word.casefold().lstrip("+-~?") != "all"]
    return " ".join(["v=spf1", *dict.fromkeys([*words, *([include] if include else [])]), "~all"])


def _tag(text: str, name: str) -> str:
    """Return the value of a tag of a DKIM or DMARC record, "" where it is missing or empty."""
    pairs = (each.partition("=") for each in text.split(";"))
    return next((value.strip() for key, _, value in pairs if key.strip().casefold() == name), "")


def _record(name: str, value: str) -> str:
    return f'{name}. TXT "{value}"'


def _domain_of(address: str) -> str:
    return address.rpartition("@")[2].strip("> ").lower()
