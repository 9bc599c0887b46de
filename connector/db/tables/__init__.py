"""The database tables: SQLModel classes, private to ``connector``.

Money columns end in ``_e4`` and hold whole ten-thousandths of the currency unit (12.50 EUR = 125000), so that sums in
SQL are exact on SQLite and PostgreSQL alike; ``connector/db/money.py`` converts. ``_at`` columns hold UTC instants,
``_on`` columns calendar dates. Ledger rows are keyed by (connection, the ledger's own id): ids collide across
companies.
"""

from __future__ import annotations

from connector.db.tables.agreements import Agreement, CustomerSetting, ErasedCustomer, InvoiceSetting, PolicyVersion
from connector.db.tables.auth import (
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
from connector.db.tables.bank import BankCsvMapping, BankFile, BankMatch, BankPayer, BankReceipt
from connector.db.tables.bank_details import BankDetailsRow
from connector.db.tables.columns import Instant
from connector.db.tables.connections import (
    Budget,
    ConnectedMailbox,
    Connection,
    Grant,
    KeyValue,
    PendingConsent,
    SyncLogEntry,
    SyncRun,
    WebhookEvent,
)
from connector.db.tables.decisions import (
    CompletedStep,
    DecisionRecord,
    ExceptionRow,
    InvoiceDecisionRow,
    OutboxEntry,
    Task,
)
from connector.db.tables.emails import (
    Brand,
    ContactToken,
    DailyDigest,
    EmailEvent,
    EmailTemplate,
    ReceivedReply,
    SentEmail,
    SuppressedAddress,
)
from connector.db.tables.ledger import (
    ApplicationRow,
    CreditRow,
    CustomerRow,
    FormerApplications,
    InvoicePdf,
    InvoiceRow,
    MalformedRow,
    PaymentRow,
    UnseenRow,
    WriteOff,
)
from connector.db.tables.portal import PortalFile, PortalResponse

__all__ = [
    "Agreement",
    "ApiRequest",
    "ApiToken",
    "ApplicationRow",
    "BankCsvMapping",
    "BankDetailsRow",
    "BankFile",
    "BankMatch",
    "BankPayer",
    "BankReceipt",
    "Brand",
    "Budget",
    "CompletedStep",
    "ConnectedMailbox",
    "Connection",
    "ContactToken",
    "CreditRow",
    "CustomerRow",
    "CustomerSetting",
    "DailyDigest",
    "DecisionRecord",
    "EmailEvent",
    "EmailTemplate",
    "ErasedCustomer",
    "ExceptionRow",
    "FormerApplications",
    "Grant",
    "Instant",
    "InvoiceDecisionRow",
    "InvoicePdf",
    "InvoiceRow",
    "InvoiceSetting",
    "KeyValue",
    "MalformedRow",
    "OutboxEntry",
    "Passkey",
    "PaymentRow",
    "PendingConsent",
    "PolicyVersion",
    "PortalFile",
    "PortalResponse",
    "ReceivedReply",
    "SentEmail",
    "SignInAttempt",
    "SignInLink",
    "SuppressedAddress",
    "SyncLogEntry",
    "SyncRun",
    "Task",
    "UnseenRow",
    "UsedChallenge",
    "User",
    "UserCompany",
    "WebSession",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
    "WriteOff",
]
