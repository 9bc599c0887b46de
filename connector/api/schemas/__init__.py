"""Request and response models of the API, beside the results of ``services`` that it returns as they are.

Amounts are strings with their currency beside them: a JSON number would lose cents. ``_at`` is an instant in UTC,
``_on`` a date.
"""

from __future__ import annotations

from connector.api.schemas.connections_and_runs import (
    LogVerification,
)
from connector.api.schemas.customers_and_invoices import (
    ExceptionItem,
    PortalLink,
    RevokedLinks,
)
from connector.api.schemas.lists import Amount, Mode, OutboxState, Page, Problem
from connector.api.schemas.outbox import EmailPreview
from connector.api.schemas.policies_and_reports import (
    Column,
    PolicyCheck,
    PolicyDocument,
    PolicyVersionResponse,
    Report,
    ReportTitle,
)
from connector.api.schemas.request_models import (
    AssignTasksRequest,
    CompleteTasksRequest,
    ContactRequest,
    CustomerSettingsRequest,
    DefaultOwnerRequest,
    DeliveryOutcomeRequest,
    DisputeRequest,
    EmailTextRequest,
    ExceptionRequest,
    InstalmentRequest,
    InvoicePauseRequest,
    ModeRequest,
    OutboxEntriesRequest,
    PauseRequest,
    PaymentPlanRequest,
    PolicyRequest,
    PromiseRequest,
    RequestModel,
    ResolveDisputeRequest,
    TaskOutcomeRequest,
)

__all__ = [
    "Amount",
    "AssignTasksRequest",
    "Column",
    "CompleteTasksRequest",
    "ContactRequest",
    "CustomerSettingsRequest",
    "DefaultOwnerRequest",
    "DeliveryOutcomeRequest",
    "DisputeRequest",
    "EmailPreview",
    "EmailTextRequest",
    "ExceptionItem",
    "ExceptionRequest",
    "InstalmentRequest",
    "InvoicePauseRequest",
    "LogVerification",
    "Mode",
    "ModeRequest",
    "OutboxEntriesRequest",
    "OutboxState",
    "Page",
    "PauseRequest",
    "PaymentPlanRequest",
    "PolicyCheck",
    "PolicyDocument",
    "PolicyRequest",
    "PolicyVersionResponse",
    "PortalLink",
    "Problem",
    "PromiseRequest",
    "Report",
    "ReportTitle",
    "RequestModel",
    "ResolveDisputeRequest",
    "RevokedLinks",
    "TaskOutcomeRequest",
]
