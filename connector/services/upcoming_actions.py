"""What would be sent, when and why: the policy applied to today and the days ahead. Nothing is sent or stored.

Each planned step counts as completed before the next day is evaluated; the accounting data is assumed not to change.
Customers who share an email address are simulated side by side, because one of them at a time gets an email there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from pydantic import Field
from sqlmodel import Session

from connector import policy_store
from connector.app_context import AppContext
from connector.connections.registry import find_connection, list_connected
from connector.db.engine import reading
from connector.db.tables import Connection
from connector.evaluation.shared_mailboxes import SharedMailboxes
from connector.geo import HolidayCalendar
from connector.outbox.drafts import build_drafts
from connector.results import Amount, Result
from connector.sync.mirror.mailboxes import Peers, load_peers
from connector.sync.mirror.pages import load_statements
from connector.vocabulary import ConnectionMode, UpcomingKind
from policies.currencies import plain_amount
from policies.decide import decide
from policies.decisions import Action, ChargeLateFee, CreateTask, CustomerDecision, NotifyOwner, SendReminder
from policies.invoice_names import invoice_name
from policies.policy import ReminderPolicy
from policies.receivables import Invoice, PastAction, Statement, Step
from policies.simulated_actions import as_past_actions

_SIMULATED_TIME = time(10, 0)  # of the days ahead: within everybody's send window, in the company's own time zone
_KINDS: dict[type[Action], UpcomingKind] = {
    SendReminder: UpcomingKind.EMAIL,
    NotifyOwner: UpcomingKind.OWNER_EMAIL,
    CreateTask: UpcomingKind.TASK,
    ChargeLateFee: UpcomingKind.LATE_FEE,
}
# Called with a company's short name, and how many of its customers were evaluated so far
ProgressCallback = Callable[[str, int], None]


class UpcomingAction(Result):
    """An action that would be taken. ``step`` is the code of a task that is no step; a task has no amount.

    ``completed`` are the steps of its invoices that it completes, that of its leading invoice first. ``lists_only`` is
    true of an email as it is shown for an invoice that it lists, without a step of its own in it.
    """

    id: str
    connection: str
    mode: ConnectionMode
    at: datetime
    on: date
    kind: UpcomingKind
    step: str
    customer_id: str
    customer: str
    invoices: list[str]
    invoice_ids: list[str]
    currency: str
    amount: Amount | None
    reason: str
    completed: tuple[tuple[str, Step], ...] = Field(default=(), exclude=True)  # for what is said about one invoice
    lists_only: bool = Field(default=False, exclude=True)


def ignore_progress(company: str, customers: int) -> None:
    """Report the progress to nobody."""


def list_upcoming(
    app: AppContext,
    connection_id: int | None,
    days: int,
    *,
    policy: ReminderPolicy | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> list[UpcomingAction]:
    """List what would be done today and in the next ``days``, under the active policy or another one."""
    with reading(app.engine) as session:
        rows = list_connected(session) if connection_id is None else [find_connection(session, connection_id)]
        items = [item for row in rows for item in _company_upcoming(session, row, app.now(), days, policy, on_progress)]
    return sorted(items, key=lambda item: (item.at, item.connection, item.customer, item.kind))


def list_customer_upcoming(
    session: Session,
    row: Connection,
    customer_id: str,
    now: datetime,
    days: int,
    statements: Sequence[tuple[Statement, ...]] | None = None,
) -> list[UpcomingAction]:
    """List what would be done for one customer under the active policy, today and in the next ``days``.

    Args:
        session: The database.
        row: The company.
        customer_id: The customer's id in the ledger.
        now: The instant from which it counts.
        days: How many days it looks ahead.
        statements: The customer's statements as of ``now``, where they have been loaded already.

    """
    active, peers = policy_store.get_active_policy(session, row.id or 0), load_peers(session, row)
    found = list(statements or load_statements(session, row, now=now, customer_ids=[customer_id]))
    shown = {statements[0].customer.id for statements in found}
    others = sharing_with(shown, peers) - shown
    found += load_statements(session, row, now=now, customer_ids=others) if others else ()
    group = [SimulatedCustomer(each, active.for_customer(each[0].customer.id)[0]) for each in found]
    group.sort(key=lambda each: each.customer_id)
    actions = simulate(session, row, group, peers, simulated_instants(now, ZoneInfo(row.time_zone), days))
    return [item for item in actions if item.customer_id in shown]


@dataclass(slots=True)
class SimulatedCustomer:
    """A customer as of a simulated day; nothing can happen to them before ``idle_until``."""

    statements: tuple[Statement, ...]
    policy: ReminderPolicy
    idle_until: date = date.min

    @property
    def customer_id(self) -> str:
        """The customer's id in the ledger."""
        return self.statements[0].customer.id


def _company_upcoming(
    session: Session,
    row: Connection,
    now: datetime,
    days: int,
    policy: ReminderPolicy | None,
    on_progress: ProgressCallback,
) -> Iterator[UpcomingAction]:
    active, peers = policy_store.get_active_policy(session, row.id or 0), load_peers(session, row)
    instants = simulated_instants(now, ZoneInfo(row.time_zone), days)
    sharing: list[SimulatedCustomer] = []
    for count, statements in enumerate(load_statements(session, row, now=now), start=1):
        on_progress(row.short_name, count)
        customer_id = statements[0].customer.id
        customer = SimulatedCustomer(statements, policy or active.for_customer(customer_id)[0])
        if customer_id in peers:
            sharing.append(customer)
        else:
            yield from simulate(session, row, [customer], peers, instants)
    yield from simulate(session, row, sharing, peers, instants)


def sharing_with(customer_ids: Collection[str], peers: Peers) -> set[str]:
    """Return everybody whose emails can affect those of these customers: who shares an address with whom, and so on."""
    found: set[str] = set()
    ahead = set(customer_ids)
    while ahead:
        found |= ahead
        ahead = {peer for each in ahead for peer in peers.get(each, ())} - found
    return found


def simulate(
    session: Session, row: Connection, group: Sequence[SimulatedCustomer], peers: Peers, instants: Sequence[datetime]
) -> Iterator[UpcomingAction]:
    """Simulate some customers day by day, in the order in which a sync decides about them."""
    zone, calendar = ZoneInfo(row.time_zone), HolidayCalendar()
    by_id = {each.customer_id: each for each in group}
    for now in instants:
        mailboxes = SharedMailboxes(session, peers)
        for customer in group:
            if now.astimezone(zone).date() < customer.idle_until:
                continue
            customer.statements = tuple(replace(statement, synced_at=now) for statement in customer.statements)
            statements = mailboxes.mark_taken(customer.statements)
            decision = decide(statements, customer.policy, now, calendar, is_forecast=now != instants[0])
            actions = [action for action in decision.actions if not _is_standing(action)]
            if not actions:
                customer.idle_until = _next_possible_date(decision)
                continue
            ledger_key, today = f"{row.provider}:{row.external_id}", now.astimezone(zone).date()
            drafts = build_drafts(ledger_key, decision, statements, today)
            mailboxes.take(statements[0].customer, drafts)
            yield from (_as_item(row, statements, action, now, zone) for action in actions)
            past_actions = tuple(past for action in actions for past in _past_actions(action, now, zone))
            _add_past_actions(customer, past_actions)
            contacts = tuple(past for past in past_actions if past.is_contact)  # the contact limits are of the mailbox
            for peer in peers.get(customer.customer_id, ()):
                if peer in by_id:
                    _add_past_actions(by_id[peer], contacts)


def _add_past_actions(customer: SimulatedCustomer, past_actions: tuple[PastAction, ...]) -> None:
    if past_actions:
        customer.statements = tuple(
            replace(each, past_actions=each.past_actions + past_actions) for each in customer.statements
        )


def _is_standing(action: Action) -> bool:
    """Return whether this is a task that stands while its reason does (credit to apply), and is no step."""
    return isinstance(action, CreateTask) and action.step is None


def _next_possible_date(decision: CustomerDecision) -> date:
    """Return the first date on which something may happen; ``date.min`` where a decision does not name one."""
    dates = [each.next_on for each in decision.invoice_decisions]
    return min((on for on in dates if on is not None), default=date.max) if all(dates) else date.min


def simulated_instants(now: datetime, zone: ZoneInfo, days: int) -> list[datetime]:
    """Return now, and one instant of each day ahead."""
    today = now.astimezone(zone).date()
    ahead = (datetime.combine(today + timedelta(days=day), _SIMULATED_TIME, zone) for day in range(1, days + 1))
    return [now, *ahead]


def _past_actions(action: Action, now: datetime, zone: ZoneInfo) -> Iterator[PastAction]:
    """Yield what the mirror would hold if the action had been taken."""
    at = _sent_at(action, now)
    return as_past_actions(action, at, at.astimezone(zone).date())


def _as_item(
    row: Connection, statements: Sequence[Statement], action: Action, now: datetime, zone: ZoneInfo
) -> UpcomingAction:
    invoices = {invoice.id: invoice for statement in statements for invoice in statement.invoices}
    at, invoice_ids = _sent_at(action, now), _invoice_ids(action)
    kind, step, on = _KINDS[type(action)], _step(action), at.astimezone(zone).date()
    return UpcomingAction(
        id=":".join([str(row.id), kind, action.customer_id, step, on.isoformat(), *invoice_ids[:1]]),
        connection=row.short_name,
        mode=row.mode,
        at=at,
        on=on,
        kind=kind,
        step=step,
        customer_id=action.customer_id,
        customer=statements[0].customer.name,
        invoices=[_name(invoices[each]) for each in invoice_ids if each in invoices],
        invoice_ids=list(invoice_ids),
        currency="" if isinstance(action, CreateTask) else action.currency,
        amount=_amount(action, invoices, invoice_ids),
        reason=action.reason,
        completed=action.completed if isinstance(action, SendReminder | NotifyOwner) else (),
    )


def _name(invoice: Invoice) -> str:
    return invoice_name(invoice.number, invoice.issued_on, is_shared=invoice.shares_number)


def _sent_at(action: Action, now: datetime) -> datetime:
    return (action.send_after if isinstance(action, SendReminder) else None) or now


def _amount(action: Action, invoices: Mapping[str, Invoice], invoice_ids: Sequence[str]) -> str | None:
    if isinstance(action, CreateTask):
        return None
    due = sum((invoices[each].due for each in invoice_ids if each in invoices), Decimal())
    return plain_amount(action.amount if isinstance(action, ChargeLateFee) else due, action.currency)


def _invoice_ids(action: Action) -> list[str]:
    if isinstance(action, SendReminder):
        return list(action.listed)
    if isinstance(action, NotifyOwner):
        return [invoice_id for invoice_id, _ in action.completed]
    return list(action.invoice_ids) if isinstance(action, CreateTask) else [action.invoice_id]


def _step(action: Action) -> str:
    if isinstance(action, SendReminder):
        return action.step.value
    if isinstance(action, CreateTask):
        return action.step.value if action.step else action.code
    return Step.NOTIFY_OWNER.value if isinstance(action, NotifyOwner) else Step.LATE_FEE.value
