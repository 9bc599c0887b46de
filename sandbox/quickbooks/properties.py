"""The properties of Intuit's entities: those a request may have (else error 2010), and those a query may filter by."""

from __future__ import annotations

from sandbox.core import JsonObject
from sandbox.quickbooks.api_errors import invalid_query, unknown_property

_ENTITY = "Id SyncToken MetaData CustomField AttachableRef domain status sparse"
_TRANSACTION = f"""{_ENTITY} DocNumber TxnDate TxnSubType DepartmentRef CurrencyRef ExchangeRate PrivateNote TxnStatus
    LinkedTxn Line TxnTaxDetail TxnSource TaxFormType TaxFormNum TransactionLocationType Tag TxnApprovalInfo
    RecurDataRef RecurringInfo ProjectRef TotalCostAmount HomeTotalCostAmount"""
_SALE = f"""{_TRANSACTION} AutoDocNumber CustomerRef CustomerMemo BillAddr ShipAddr FreeFormAddress ShipFromAddr
    RemitToRef ClassRef SalesTermRef DueDate SalesRepRef PONumber FOB ShipMethodRef ShipDate TrackingNum
    GlobalTaxCalculation TotalAmt HomeTotalAmt ApplyTaxAfterDiscount ShippingTaxIncludedInTotalTax TemplateRef
    PrintStatus EmailStatus BillEmail BillEmailCc BillEmailBcc ARAccountRef Balance HomeBalance FinanceCharge
    PaymentMethodRef PaymentRefNum PaymentType CheckPayment CreditCardPayment DepositToAccountRef DeliveryInfo
    DiscountRate DiscountAmt GovtTxnRefIdentifier TaxExemptionRef"""

KNOWN: dict[str, frozenset[str]] = {
    name: frozenset(text.split())
    for name, text in {
        "Invoice": f"""{_SALE} Deposit AllowIPNPayment AllowOnlinePayment AllowOnlineCreditCardPayment
            AllowOnlineACHPayment AllowOnlinePayPalPayment AllowOnlineAffirmPayment EInvoiceStatus ECloudStatusTimeStamp
            invoiceStatus callToAction invoiceStatusLog InvoiceEx LessCIS InvoiceLink PaymentDetailsMessage
            ConvenienceFeeDetail InvoiceLinkSecurityCode InvoiceLinkExpiryDate""",
        "CreditMemo": f"{_SALE} RemainingCredit InvoiceRef CreditMemoEx",
        "Payment": f"""{_TRANSACTION} CustomerRef RemitToRef ARAccountRef DepositToAccountRef PaymentMethodRef
            PaymentRefNum PaymentType CheckPayment CreditCardPayment TotalAmt UnappliedAmt ProcessPayment
            PaymentExtendedType PaymentEx TaxExemptionRef""",
        "Customer": f"""{_ENTITY} IntuitId Organization Title GivenName MiddleName FamilyName Suffix FullyQualifiedName
            CompanyName DisplayName PrintOnCheckName UserId Active V4IDPseudonym PrimaryPhone AlternatePhone Mobile Fax
            PrimaryEmailAddr WebAddr OtherContactInfo DefaultTaxCodeRef Taxable BillAddr ShipAddr OtherAddr ContactName
            AltContactName Notes Job BillWithParent RootCustomerRef ParentRef Level CustomerTypeRef SalesTermRef
            SalesRepRef TaxGroupCodeRef TaxRateRef PaymentMethodRef CCDetail PriceLevelRef Balance OpenBalanceDate
            BalanceWithJobs CreditLimit AcctNum CurrencyRef OverDueBalance PreferredDeliveryMethod ResaleNum JobInfo
            TDSEnabled CustomerEx SecondaryTaxIdentifier ARAccountRef PrimaryTaxIdentifier TaxExemptionReasonId
            IsProject BusinessNumber GSTIN GSTRegistrationType ClientEntityId Source""",
        "Item": f"""{_ENTITY} Name Sku Description Active SubItem ParentRef Level FullyQualifiedName Taxable
            SalesTaxIncluded PercentBased UnitPrice RatePercent Type PaymentMethodRef UOMSetRef IncomeAccountRef
            PurchaseDesc PurchaseTaxIncluded PurchaseCost ExpenseAccountRef COGSAccountRef AssetAccountRef PrefVendorRef
            AvgCost TrackQtyOnHand QtyOnHand QtyOnPurchaseOrder QtyOnSalesOrder ReorderPoint ManPartNum
            DepositToAccountRef SalesTaxCodeRef PurchaseTaxCodeRef InvStartDate BuildPoint PrintGroupedItems SpecialItem
            SpecialItemType ItemGroupDetail ItemAssemblyDetail AbatementRate ReverseChargeRate ServiceType
            ItemCategoryType ItemEx TaxClassificationRef UQCDisplayText UQCId ClassRef Source DeferredRevenue
            CustomExtensions""",
        "Account": f"""{_ENTITY} Name SubAccount ParentRef Description FullyQualifiedName AccountAlias TxnLocationType
            Active Classification AccountType AccountSubType AccountPurposes AcctNum AcctNumExtn BankNum OpeningBalance
            OpeningBalanceDate CurrentBalance CurrentBalanceWithSubAccounts CurrencyRef TaxAccount TaxCodeRef
            OnlineBankingEnabled FIName JournalCodeRef AccountEx""",
        "Term": f"""{_ENTITY} Name Active Type DiscountPercent DueDays DiscountDays DayOfMonthDue DueNextMonthDays
            DiscountDayOfMonth SalesTermEx""",
        "Attachable": f"""{_ENTITY} FileName FileAccessUri TempDownloadUri Size ContentType Category Lat Long PlaceName
            Note Tag ThumbnailFileAccessUri ThumbnailTempDownloadUri AttachableEx documentId""",
        "Line": """Id LineNum Description Amount Received LinkedTxn DetailType PaymentLineDetail DiscountLineDetail
            TaxLineDetail SalesItemLineDetail DescriptionLineDetail GroupLineDetail SubTotalLineDetail CustomField
            LineEx ProjectRef CostAmount HomeCostAmount CustomExtensions""",
        "SalesItemLineDetail": """ItemRef ClassRef UnitPrice UnitCostPrice RatePercent PriceLevelRef MarkupInfo Qty
            UOMRef ItemAccountRef InventorySiteRef TaxCodeRef TaxClassificationRef ServiceDate TaxInclusiveAmt
            DiscountRate DiscountAmt DeferredRevenue RetainageAmount SalesItemLineDetailEx""",
        "DiscountLineDetail": """DiscountRef PercentBased DiscountPercent DiscountAccountRef ServiceDate ClassRef
            TaxCodeRef DiscountLineDetailEx""",
        "SubTotalLineDetail": "ItemRef ServiceDate",
        "DescriptionLineDetail": "ServiceDate TaxCodeRef DescriptionLineDetailEx",
        "TxnTaxDetail": "DefaultTaxCodeRef TxnTaxCodeRef TotalTax TaxReviewStatus TaxLine UseAutomatedSalesTax",
        "LinkedTxn": "TxnId TxnType TxnLineId",
        "ReferenceType": "value name type",
        "EmailAddress": "Id Address Default Tag",
        "PhysicalAddress": """Id Line1 Line2 Line3 Line4 Line5 City Country CountryCode County CountrySubDivisionCode
            PostalCode PostalCodeSuffix Lat Long Tag Note""",
        "TelephoneNumber": "Id DeviceType CountryCode AreaCode ExchangeCode Extension FreeFormNumber Default Tag",
        "MemoRef": "value id",
        "AttachableRef": "EntityRef LineInfo IncludeOnSend CustomField AttachableRefEx",
    }.items()
}
_NESTED = {
    "Line": "Line", "LinkedTxn": "LinkedTxn", "AttachableRef": "AttachableRef", "CustomerMemo": "MemoRef",
    "BillEmail": "EmailAddress", "BillEmailCc": "EmailAddress", "BillEmailBcc": "EmailAddress",
    "PrimaryEmailAddr": "EmailAddress", "BillAddr": "PhysicalAddress", "ShipAddr": "PhysicalAddress",
    "ShipFromAddr": "PhysicalAddress", "PrimaryPhone": "TelephoneNumber", "Mobile": "TelephoneNumber",
    "SalesItemLineDetail": "SalesItemLineDetail", "DiscountLineDetail": "DiscountLineDetail",
    "SubTotalLineDetail": "SubTotalLineDetail", "DescriptionLineDetail": "DescriptionLineDetail",
    "TxnTaxDetail": "TxnTaxDetail",
}  # fmt: skip

_TIMES = "MetaData.CreateTime MetaData.LastUpdatedTime"
FILTERABLE: dict[str, frozenset[str]] = {
    name: frozenset(f"Id {_TIMES} {text}".split())
    for name, text in {
        "Invoice": "DocNumber TxnDate DueDate CustomerRef TotalAmt Balance",
        "CreditMemo": "DocNumber TxnDate CustomerRef TotalAmt Balance",
        "Payment": "TxnDate CustomerRef TotalAmt PaymentRefNum PaymentMethodRef",
        "Deposit": "TxnDate DepositToAccountRef TotalAmt",
        "Customer": "DisplayName GivenName FamilyName CompanyName PrintOnCheckName FullyQualifiedName Active Balance",
        "Item": "Name Sku Type Active Description FullyQualifiedName UnitPrice",
        "Account": "Name AccountType AccountSubType Classification Active FullyQualifiedName CurrentBalance",
        "Term": "Name Active",
        "TaxCode": "Name Active Description",
        "Attachable": "FileName AttachableRef.EntityRef.Type AttachableRef.EntityRef.value",
        "CompanyInfo": "",
        "Preferences": "",
    }.items()
}
ENTITIES = {name.lower(): name for name in FILTERABLE}
TRANSACTIONS = frozenset({"Invoice", "CreditMemo", "Payment", "Deposit"})
NAMES = frozenset({"Customer", "Item", "Account", "Term", "TaxCode"})


def check_known(entity: str, body: JsonObject) -> None:
    """Raise for a request with a property that the entity, or a part of it, does not have."""
    known = KNOWN[entity]
    for name, value in body.items():
        if name not in known:
            raise unknown_property(entity, name, len(known))
        part = _NESTED.get(name, "ReferenceType" if name.endswith("Ref") else "")
        for item in value if isinstance(value, list) else [value]:
            if part and isinstance(item, dict):
                check_known(part, item)


def check_filterable(entity: str, name: str) -> str:
    """Return the property in its correct case. Raises if it is unknown or cannot be filtered or sorted by."""
    if name in FILTERABLE[entity]:
        return name
    if name == "AttachableRef.EntityRef.type" and entity == "Attachable":
        return "AttachableRef.EntityRef.Type"
    if name.partition(".")[0] in KNOWN.get(entity, frozenset()):
        raise invalid_query(f"property '{name}' is not queryable")
    raise invalid_query(f"Property {name} not found for Entity {entity}")
