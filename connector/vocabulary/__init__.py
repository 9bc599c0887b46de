"""The closed sets of values that are stored, printed and typed: kinds, states, modes, outcomes and codes."""

from __future__ import annotations

from connector.vocabulary.access import Role, TokenScope, TokenState, UserState
from connector.vocabulary.agreements import AgreementChange, AgreementKind, AgreementState
from connector.vocabulary.bank import LineStatus, MatchCertainty, MatchState, ReceiptState, StatementFormat
from connector.vocabulary.bank_details import AccountScheme, BankDetailsEvent, BankDetailsState, CodeKind
from connector.vocabulary.connections import ConnectionHealth, ConnectionMode
from connector.vocabulary.emails import ReplyKind, TemplateOrigin, TokenPurpose
from connector.vocabulary.log import LogKind
from connector.vocabulary.outbox import FeeState, OutboxKind, OutboxState, PolicyChangeKind, UpcomingKind
from connector.vocabulary.portal import PaymentMethod, ResponseKind, ResponseState
from connector.vocabulary.runs import RunOutcome
from connector.vocabulary.tasks import TaskCode, TaskState
from connector.vocabulary.timeline import TimelineKind
from connector.vocabulary.webhooks import DeliveryState
from providers.calls import CallKind
from providers.errors import LimitWindow

__all__ = [
    "AccountScheme",
    "AgreementChange",
    "AgreementKind",
    "AgreementState",
    "BankDetailsEvent",
    "BankDetailsState",
    "CallKind",
    "CodeKind",
    "ConnectionHealth",
    "ConnectionMode",
    "DeliveryState",
    "FeeState",
    "LimitWindow",
    "LineStatus",
    "LogKind",
    "MatchCertainty",
    "MatchState",
    "OutboxKind",
    "OutboxState",
    "PaymentMethod",
    "PolicyChangeKind",
    "ReceiptState",
    "ReplyKind",
    "ResponseKind",
    "ResponseState",
    "Role",
    "RunOutcome",
    "StatementFormat",
    "TaskCode",
    "TaskState",
    "TemplateOrigin",
    "TimelineKind",
    "TokenPurpose",
    "TokenScope",
    "TokenState",
    "UpcomingKind",
    "UserState",
]
