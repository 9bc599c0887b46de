"""QuickBooks Online's JSON as typed structs: only the fields that are read, with exact decimals.

What Intuit always sends is required here, so that a record without it is malformed and the message names the field.
All else is optional. Unknown keys are skipped: since 2025 Intuit adds some without a new minor version.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from msgspec import Raw, Struct, field


class IdRef(Struct, gc=False):
    """A reference of which only the id is needed."""

    value: str


class Ref(Struct, gc=False):
    """A reference to another object, by id and name."""

    value: str
    name: str | None = None


class Meta(Struct, rename="pascal", gc=False):
    """When the object was last changed, and when it was created; with the company's offset."""

    last_updated_time: datetime
    create_time: str | None = None


class EmailAddress(Struct, rename="pascal", gc=False):
    """One address, or several with commas between."""

    address: str | None = None


class PostalAddress(Struct, rename="pascal", gc=False):
    """The parts of an address that determine holidays and time zone."""

    country: str | None = None
    country_sub_division_code: str | None = None


class LinkedTxn(Struct, rename="pascal", gc=False):
    """The transaction at the other end of a payment's link."""

    txn_id: str
    txn_type: str


class ItemDetail(Struct, rename="pascal", gc=False):
    """What a line sells."""

    item_ref: Ref | None = None
    item_account_ref: Ref | None = None


class GroupDetail(Struct, rename="pascal", gc=False):
    """A bundle of items that is shown as one line."""

    group_item_ref: Ref | None = None
    line: list[Line] = []


class Line(Struct, rename="pascal", gc=False):
    """One line of an invoice."""

    amount: Decimal | None = None
    description: str | None = None
    detail_type: str | None = None
    sales_item_line_detail: ItemDetail | None = None
    group_line_detail: GroupDetail | None = None


class Stub(Struct, rename="pascal", gc=False):
    """What remains of a deleted object, and the minimum that identifies any object."""

    id: str
    status: str | None = field(name="status", default=None)
    meta_data: Meta | None = None


class TelephoneNumber(Struct, rename="pascal", gc=False):
    """A telephone number, of any text."""

    free_form_number: str | None = None


class Customer(Struct, rename="pascal", gc=False):
    """A customer, sub-customer or job."""

    id: str
    meta_data: Meta
    display_name: str
    given_name: str | None = None
    family_name: str | None = None
    primary_email_addr: EmailAddress | None = None
    primary_phone: TelephoneNumber | None = None
    mobile: TelephoneNumber | None = None
    alternate_phone: TelephoneNumber | None = None
    bill_addr: PostalAddress | None = None
    customer_type_ref: Ref | None = None
    parent_ref: IdRef | None = None
    bill_with_parent: bool | None = None
    balance: Decimal | None = None
    balance_with_jobs: Decimal | None = None
    currency_ref: IdRef | None = None
    active: bool | None = None
    status: str | None = field(name="status", default=None)


class Term(Struct, rename="pascal"):
    """Payment terms; only those with a discount matter here."""

    id: str
    type: str | None = None
    discount_percent: Decimal | None = None
    discount_days: int | None = None
    status: str | None = field(name="status", default=None)


class Invoice(Struct, rename="pascal", gc=False):
    """A sales invoice."""

    id: str
    sync_token: str
    meta_data: Meta
    txn_date: date
    customer_ref: IdRef
    total_amt: Decimal
    balance: Decimal
    due_date: date | None = None
    doc_number: str | None = None
    currency_ref: IdRef | None = None
    private_note: str | None = None
    email_status: str | None = None
    print_status: str | None = None
    bill_email: EmailAddress | None = None
    bill_email_cc: EmailAddress | None = None
    bill_email_bcc: EmailAddress | None = None
    sales_term_ref: IdRef | None = None
    deposit: Decimal | None = None
    linked_txn: list[LinkedTxn] = []
    line: list[Line] = []
    status: str | None = field(name="status", default=None)


class PaymentLine(Struct, rename="pascal", gc=False):
    """A part of a payment and what it is linked to."""

    amount: Decimal
    linked_txn: list[LinkedTxn] = []


class Payment(Struct, rename="pascal", gc=False):
    """A received payment, or (with a total of 0) the application of a credit memo."""

    id: str
    meta_data: Meta
    txn_date: date
    customer_ref: IdRef
    total_amt: Decimal
    unapplied_amt: Decimal | None = None
    currency_ref: IdRef | None = None
    deposit_to_account_ref: IdRef | None = None
    line: list[PaymentLine] = []
    status: str | None = field(name="status", default=None)


class CreditMemo(Struct, rename="pascal", gc=False):
    """A credit memo; its balance is what is not applied yet."""

    id: str
    meta_data: Meta
    txn_date: date
    customer_ref: IdRef
    total_amt: Decimal
    balance: Decimal
    doc_number: str | None = None
    currency_ref: IdRef | None = None
    status: str | None = field(name="status", default=None)


class EntityRef(Struct, gc=False):
    """Whom a line of a deposit names: a customer, a vendor or an employee."""

    value: str
    name: str | None = None
    type: str | None = None


class DepositDetail(Struct, rename="pascal", gc=False):
    """Where the money of a line came from."""

    entity: EntityRef | None = None
    account_ref: IdRef | None = None


class DepositLine(Struct, rename="pascal", gc=False):
    """Some of the money of a deposit; one that is linked was received as a payment or a sales receipt before."""

    amount: Decimal
    description: str | None = None
    deposit_line_detail: DepositDetail | None = None
    linked_txn: list[LinkedTxn] = []


class Deposit(Struct, rename="pascal", gc=False):
    """A bank deposit."""

    id: str
    meta_data: Meta
    txn_date: date
    currency_ref: IdRef | None = None
    private_note: str | None = None
    line: list[DepositLine] = []
    status: str | None = field(name="status", default=None)


class NameValue(Struct, rename="pascal", gc=False):
    """A fact about the company that has no field of its own."""

    name: str
    value: str | None = None


class CompanyInfo(Struct, rename="pascal"):
    """The company."""

    company_name: str
    country: str | None = None
    company_addr: PostalAddress | None = None
    default_time_zone: str | None = None
    name_value: list[NameValue] = []


class AccountingPrefs(Struct, rename="pascal", gc=False):
    """Accounting preferences."""

    book_close_date: date | None = None


class CurrencyPrefs(Struct, rename="pascal"):
    """Currency preferences."""

    home_currency: IdRef | None = None


class FinancePrefs(Struct, rename="pascal", gc=False):
    """QuickBooks' own finance charges."""

    annual_interest_rate: Decimal | None = None


class Preferences(Struct, rename="pascal"):
    """The company's settings that matter here."""

    accounting_info_prefs: AccountingPrefs | None = None
    currency_prefs: CurrencyPrefs | None = None
    finance_charges_prefs: FinancePrefs | None = None


class Attachable(Struct, rename="pascal", gc=False):
    """A note or a file that is attached to a transaction."""

    id: str
    note: str | None = None


class ItemOrAccount(Struct, rename="pascal", gc=False):
    """An item or an account."""

    id: str
    name: str | None = None
    active: bool | None = None
    classification: str | None = None
    account_type: str | None = None


class TaxCode(Struct, rename="pascal", gc=False):
    """The tax code of a line, outside the United States."""

    id: str
    name: str
    taxable: bool | None = None


class FaultError(Struct):
    """One error of a fault, in either case of its keys."""

    code: str | int | None = None
    Message: str | None = None
    message: str | None = None
    Detail: str | None = None
    detail: str | None = None


class FaultErrors(Struct):
    """The errors of a fault."""

    Error: list[FaultError] = []
    error: list[FaultError] = []


class QueryResponse(Struct, rename="pascal"):
    """The records of one query; mirrored ones are not decoded yet, so that a malformed one does not lose the others."""

    customer: list[Raw] = []
    term: list[Raw] = []
    invoice: list[Raw] = []
    payment: list[Raw] = []
    credit_memo: list[Raw] = []
    deposit: list[Raw] = []
    company_info: list[CompanyInfo] = []
    preferences: list[Preferences] = []
    attachable: list[Attachable] = []
    item: list[ItemOrAccount] = []
    account: list[ItemOrAccount] = []
    tax_code: list[TaxCode] = []
    total_count: int | None = field(name="totalCount", default=None)
    fault: FaultErrors | None = None  # of one entity, under status 200


class QueryReply(Struct, rename="pascal"):
    """The envelope of a query's reply; ``time`` is Intuit's clock."""

    query_response: QueryResponse
    time: datetime | None = field(name="time", default=None)


class CdcResponse(Struct, rename="pascal"):
    """One element per requested entity; ``{}`` where nothing changed."""

    query_response: list[QueryResponse] = []
    fault: FaultErrors | None = None


class CdcReply(Struct, rename={"cdc_response": "CDCResponse"}):
    """The envelope of the change data capture."""

    cdc_response: list[CdcResponse]
    time: datetime | None = None


class InvoiceWithLink(Struct, rename="pascal", gc=False):
    """An invoice with the page on which its customer pays it."""

    id: str = ""
    invoice_link: str | None = None


class SingleReply(Struct, rename="pascal"):
    """The envelope of one object that was read or written; only the requested one is set."""

    invoice: Raw = Raw(b"null")
    credit_memo: Raw = Raw(b"null")
    attachable: Attachable | None = None
    item: ItemOrAccount | None = None
    account: ItemOrAccount | None = None


class BatchItemReply(Struct, rename="pascal"):
    """How one operation of a batch ended."""

    id: str = field(name="bId", default="")
    attachable: Attachable | None = None
    fault: FaultErrors | None = None


class BatchReply(Struct, rename="pascal"):
    """The envelope of a batch's reply."""

    batch_item_response: list[BatchItemReply]
