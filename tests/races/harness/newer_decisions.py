"""Decisions about money in the bank, bank details, brands and drafts, on many rows at once, and what undoes others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from functools import partial
from types import MappingProxyType

from connector.auth import passkey_requirement
from connector.bank.formats.bank_line import StatementError
from connector.branding.brand import BrandChange
from connector.db.engine import reading, writing
from connector.db.tables import InvoiceRow
from connector.emails.portal_links import PortalVisitor
from connector.errors import NotFound, NotPossible
from connector.outbox.approvals import undo
from connector.portal import responses
from connector.portal.customer_response import CustomerResponse
from connector.services import agreement_acts, bank_details, bank_statements, branding
from connector.services.lists import bulk
from connector.services.lists.bulk import Actor, SeenRow
from connector.vocabulary import ResponseKind
from tests.races.harness.world import IBANS, STATEMENT, World

Decision = Callable[[World], object]
REFUSALS = (NotPossible, NotFound, StatementError)
_ANN, _BEN = Actor("ann"), Actor("ben")


def _import(world: World, text: str) -> object:
    content = f"{STATEMENT}2026-06-09;45.00;Dunn Ltd;{text}\n".encode()
    return bank_statements.import_file(world.app, world.connection, content, name="june.csv", by="ann").new


def _match(decide: Callable[..., object], by: str) -> Decision:
    return lambda world: decide(world.app, world.match, by=by)


def _assign(world: World) -> object:
    with reading(world.app.engine) as session:
        number = session.get_one(InvoiceRow, (world.connection, world.invoices[1])).number
    return str(bank_statements.assign_receipt(world.app, world.receipt, number, by="ann").state)


def _enter(currency: str, iban: str, by: str) -> Decision:
    values = {"currency": currency, "payee": "Small Works Ltd", "iban": iban}
    return lambda world: str(bank_details.set_bank_details(world.app, world.connection, values, by=by).state)


def _save_brand(signature: str, by: str) -> Decision:
    return lambda world: (
        branding.set_brand(
            world.app, world.connection, BrandChange({"signature": signature}), by=by, version=""
        ).signature
    )


def _visitor(world: World, customer: int) -> PortalVisitor:
    return PortalVisitor(world.connection, world.customers[customer], expired=False)


def _save_draft(world: World) -> object:
    said = CustomerResponse(
        ResponseKind.PROMISE, (world.invoices[1],), on=world.app.now().date() + timedelta(days=3), amount=Decimal(500)
    )
    return bool(responses.save_draft(world.app, _visitor(world, 1), said))


def _undo_decision(world: World) -> object:
    with writing(world.app.engine) as session:
        return len(undo(session, world.emails[:1], by="ann", at=world.app.now()))


def _undo_recorded(world: World) -> object:
    return agreement_acts.undo_recorded(world.app, "ann", at=None, can_see=lambda _company: True).title


def _pause_together(world: World) -> object:
    with reading(world.app.engine) as session:
        rows = [session.get_one(InvoiceRow, (world.connection, each)) for each in world.invoices[:2]]
    until = world.app.now().date() + timedelta(days=8)
    return len(agreement_acts.pause_invoices(world.app, rows, "ben", until_on=until, reason="holidays").invoices)


def _on_task(act: Callable[..., bulk.BulkResult], actor: Actor, text: str) -> Decision:
    """Act on the task as the list showed it."""

    def decide(world: World) -> object:
        return str(act(world.app, [SeenRow((world.task,), world.task_version)], actor, text).left or "done")

    return decide


def _on_entries(world: World, *, approve: bool, actor: Actor) -> object:
    rows = [SeenRow((world.emails[0],), world.etag)]
    return str(bulk.decide_entries(world.app, rows, actor, approve=approve).left or "done")


def _tag_many(world: World) -> object:
    rows = [SeenRow((world.connection, world.customers[0]), world.customer_version)]
    return str(bulk.set_for_customers(world.app, rows, _ANN, {"tags": "slow"}).left or "done")


NEWER: Mapping[str, Decision] = MappingProxyType(
    {
        "import statement": partial(_import, text="order 7"),
        "import another statement": partial(_import, text="order 8"),
        "confirm match": _match(lambda *a, **k: str(bank_statements.confirm_match(*a, **k).state), "ann"),
        "reject match": _match(lambda *a, **k: str(bank_statements.reject_match(*a, **k).state), "ben"),
        "assign money": _assign,
        "set money aside": lambda world: bank_statements.set_aside(world.app, world.receipt, by="ben"),
        "enter bank details": _enter("EUR", IBANS[0], "ann"),
        "enter other bank details": _enter("EUR", IBANS[1], "ben"),
        "remove bank details": lambda world: bank_details.remove_bank_details(
            world.app, world.connection, "GBP", by="ann"
        ),
        "confirm bank details": lambda world: bank_details.confirm_bank_details(
            world.app, world.connection, world.waiting_details, by="ben@example.com"
        ),
        "cancel bank details": lambda world: bank_details.cancel_bank_details(
            world.app, world.connection, world.waiting_details, by="carol@example.com"
        ),
        "save brand": _save_brand("Ann of Small Works", "ann"),
        "save another brand": _save_brand("Ben of Small Works", "ben"),
        "save draft": _save_draft,
        "send draft": lambda world: responses.send_draft(world.app, _visitor(world, 1), world.draft).result,
        "undo response": lambda world: responses.undo_response(world.app, _visitor(world, 2), world.sent_response),
        "undo decision": _undo_decision,
        "undo what was recorded": _undo_recorded,
        "pause together": _pause_together,
        "complete tasks of a list": _on_task(bulk.complete_tasks, _ANN, "called"),
        "assign tasks of a list": _on_task(bulk.assign_tasks, _BEN, "Ben <ben@example.com>"),
        "approve in a list": partial(_on_entries, approve=True, actor=_ANN),
        "reject in a list": partial(_on_entries, approve=False, actor=_BEN),
        "tag in a list": _tag_many,
        "require passkeys": lambda world: passkey_requirement.set_required(world.app, required=True, by="ann"),
    }
)
