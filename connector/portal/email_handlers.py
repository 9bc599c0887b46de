"""What responses about the emails themselves do: another recipient, their language, an end to reminders."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlmodel import col

from connector.db.tables import CustomerRow, CustomerSetting
from connector.emails.inbound import reminder_stops, stopped_addresses
from connector.languages import LANGUAGES
from connector.plain_text import one_line
from connector.portal.customer_response import ResponseRejected
from connector.portal.response_context import ResponseContext
from connector.vocabulary import TaskCode

_IN_PORTAL = "in the customer portal"
_FREE_EMAIL_DOMAIN = re.compile(
    r"(gmail|googlemail|yahoo|outlook|hotmail|live|icloud|aol|gmx|web|proton|protonmail|orange|free|mail|t-online)\.[a-z.]+"
)
_EMAIL_ADDRESS = re.compile(r"[^\s<>,;:\"()\\@]+@([a-z0-9-]+\.)+[a-z]{2,}", re.IGNORECASE)


def check_contact(context: ResponseContext) -> None:
    """Raise ``ResponseRejected`` for what is no email address."""
    email = context.response.email.strip()
    if not _EMAIL_ADDRESS.fullmatch(email) or len(email) > 200:
        raise ResponseRejected("error_contact_email")


def record_contact(context: ResponseContext) -> str:
    """Add an address at once where the customer already has one at its domain; else ask a user.

    Otherwise whoever has the link could have invoices sent to anybody.
    """
    name = one_line(context.response.text, 80).replace("<", "").replace(">", "")
    email = context.response.email.strip()
    setting = context.session.get(CustomerSetting, context.customer_key)
    used = (setting and setting.emails) or context.customer.emails
    known = [each.strip() for each in used.split(",") if each.strip()]
    contact = f"{name} <{email}>" if name else email
    stopped = stopped_addresses.split_stopped(setting)
    has_stopped = email.lower() in stopped  # the stop is its reader's own: whoever has the portal's link cannot lift it
    if email.lower() in {each.lower() for each in known} and not has_stopped:
        return "done_already"
    request = f"{context.customer_name} asks to send emails to {contact} as well."
    if has_stopped:
        rest = ",".join(each for each in stopped if each != email.lower()) or "none"
        command = shlex.join(["duewell", "customers", "set", context.customer.external_id, "--stopped-emails", rest])
        reason = f"{request} Its reader stopped the reminders there. If they want them again, run: {command}"
    elif _is_customer_domain(context, email, known):
        context.apply_settings({"emails": ", ".join([*known, email])}, [email])
        reason = f"{request} Emails are sent there from now on."
    else:
        # quoted: the customer's own text must not run anything in the shell of whoever copies the command
        command = shlex.join(["duewell", "customers", "set", context.customer.external_id, "--contact", contact])
        reason = f"{request} Make sure that the address is theirs, then run: {command}"
    context.create_task(TaskCode.CONTACT_CHANGE, reason)
    context.plan_notes("asks to send emails to another contact")
    return "done_contact"


def _is_customer_domain(context: ResponseContext, email: str, known: Sequence[str]) -> bool:
    """Return whether a domain is used by this customer alone and is no public email service."""
    domain = email.rpartition("@")[2].lower()
    if _FREE_EMAIL_DOMAIN.fullmatch(domain) or domain not in {each.rpartition("@")[2].lower() for each in known}:
        return False
    others = select(func.count()).where(
        col(CustomerRow.connection_id) == context.customer.connection_id,
        col(CustomerRow.external_id) != context.customer.external_id,
        col(CustomerRow.emails).icontains(f"@{domain}", autoescape=True),
    )
    return not context.session.scalar(others)


def check_language(context: ResponseContext) -> None:
    """Raise ``ResponseRejected`` for a language without texts."""
    if context.response.text not in LANGUAGES:
        raise ResponseRejected("error_select")


def record_language(context: ResponseContext) -> str:
    """Write in this language from now on."""
    context.apply_settings({"language": context.response.text})
    return "done_language"


def check_stop(context: ResponseContext) -> None:
    """Raise ``ResponseRejected`` for an address that gets no reminders."""
    address = context.response.email.strip().lower()
    setting = context.session.get(CustomerSetting, context.customer_key)
    if address and address not in stopped_addresses.split_stopped(setting):
        readers = stopped_addresses.find_readers(context.app, context.session, context.customer)
        if address not in readers.all:
            raise ResponseRejected("error_stop_address")


def record_stop(context: ResponseContext) -> str:
    """Stop all reminders, or those to the one address that was named."""
    setting = context.session.get(CustomerSetting, context.customer_key)
    address = context.response.email.strip().lower()
    if (setting is not None and setting.no_reminders) or address in stopped_addresses.split_stopped(setting):
        return "done_already"
    where = (context.app, context.session, context.customer)
    if address and not reminder_stops.stop_for_address(*where, address, how=_IN_PORTAL):
        context.plan_notes(f"asks for no more reminders to {address}")
        return "done_stop"
    if not address:
        reminder_stops.stop_for_customer(*where, how=_IN_PORTAL)
    context.plan_notes("asks for no more reminders by email")
    return "done_stop"
