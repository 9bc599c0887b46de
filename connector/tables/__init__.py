"""The tables of the one file: SQLModel classes, private to ``connector``.

Money columns end in ``_e4`` and hold whole ten-thousandths of the currency unit (12.50 EUR = 125000), so that sums in
SQL are exact on SQLite and PostgreSQL alike; ``connector/money.py`` converts. ``_at`` columns hold UTC instants,
``_on`` columns calendar dates. Ledger rows are keyed by (connection, the ledger's own id): ids collide across
companies.
"""

from __future__ import annotations

from connector.tables.access import (
    ApiRequest,
    ApiToken,
    Passkey,
    SignInAttempt,
    SignInLink,
    UsedChallenge,
    User,
    UserCompany,
    WebhookDelivery,
    WebhookEndpoint,
    WebSession,
)
from connector.tables.agreed import Agreement, CustomerSetting, ErasedCustomer, InvoiceSetting, PolicyVersion
from connector.tables.books import (
    ApplicationRow,
    CreditRow,
    CustomerRow,
    InvoiceRow,
    MalformedRow,
    PaymentRow,
    UnseenRow,
)
from connector.tables.columns import Instant
from connector.tables.companies import (
    Budget,
    Connection,
    Grant,
    KeyValue,
    PendingConsent,
    SyncLogEntry,
    SyncRun,
    WebhookEvent,
)
from connector.tables.decided import CompletedStep, DecisionRecord, ExceptionRow, InvoiceDecisionRow, OutboxEntry, Task
from connector.tables.letters import ContactToken, EmailEvent, EmailTemplate, ReceivedReply, SuppressedAddress

__all__ = [
    "Agreement",
    "WebhookEvent",
    "InvoiceDecisionRow",
    "ApiRequest",
    "ApiToken",
    "ApplicationRow",
    "Budget",
    "Connection",
    "ContactToken",
    "CreditRow",
    "CustomerRow",
    "CustomerSetting",
    "DecisionRecord",
    "ErasedCustomer",
    "ExceptionRow",
    "Grant",
    "Instant",
    "InvoiceRow",
    "InvoiceSetting",
    "EmailEvent",
    "EmailTemplate",
    "MalformedRow",
    "OutboxEntry",
    "Passkey",
    "PaymentRow",
    "PendingConsent",
    "PolicyVersion",
    "ReceivedReply",
    "SignInAttempt",
    "SignInLink",
    "UsedChallenge",
    "KeyValue",
    "SuppressedAddress",
    "SyncLogEntry",
    "SyncRun",
    "CompletedStep",
    "Task",
    "UnseenRow",
    "User",
    "UserCompany",
    "WebSession",
    "WebhookDelivery",
    "WebhookEndpoint",
]
