"""The errors of the simulated QuickBooks Online, with Intuit's messages, codes and forms."""

from __future__ import annotations

from http import HTTPStatus

from sandbox.core import JsonObject

INACTIVE = (
    "Something you're trying to use has been made inactive. "
    "Check the fields with accounts, customers, items, services or employees."
)


class ApiFault(Exception):
    """An error reply: HTTP status and the error in it."""

    def __init__(self, status: int, code: str, message: str, detail: str, *, kind: str = "ValidationFault") -> None:
        super().__init__(f"{code} {message}: {detail}")
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.kind = kind

    def fault(self) -> JsonObject:
        """Return the ``Fault`` object; the gateway replies with lower-case keys instead (``gateway_fault``)."""
        error = {"Message": self.message, "Detail": self.detail, "code": self.code, "element": ""}
        return {"Error": [error], "type": self.kind}

    def gateway_fault(self) -> JsonObject:
        """Return the fault as the gateway in front of the API writes it: with all keys in lower case."""
        error = {"message": self.message, "detail": self.detail, "code": self.code, "element": None}
        return {"error": [error], "type": self.kind}

    @property
    def is_gateway_error(self) -> bool:
        """Whether it is an error of the gateway in front of the API, whose keys are in lower case."""
        return self.kind in {"AUTHENTICATION", "AUTHORIZATION"}


def unauthenticated() -> ApiFault:
    """The access token is missing, unknown or expired."""
    message = "message=AuthenticationFailed; errorCode=003200; statusCode=401"
    return ApiFault(401, "3200", message, "AuthenticationFailed", kind="AUTHENTICATION")


def unauthorized() -> ApiFault:
    """The token is valid, but not for this company: disconnected, or of the other environment."""
    message = "message=ApplicationAuthorizationFailed; errorCode=003100; statusCode=403"
    return ApiFault(403, "3100", message, "ApplicationAuthorizationFailed", kind="AUTHORIZATION")


def invalid_email(status: int) -> ApiFault:
    """A record with an invalid email address is in what was asked for: the whole reply is refused."""
    detail = "Invalid value in field: the email address entered is invalid."
    return ApiFault(status, "4002", "Invalid email address", detail, kind="ValidationFault")


def spoiled_reply(status: int) -> ApiFault:
    """A record spoils the reply: it is refused, with status 400 or 500, or makes the service fail every time."""
    if status <= HTTPStatus.INTERNAL_SERVER_ERROR:
        return invalid_email(status)
    message = "An application error has occurred"
    return ApiFault(status, "10000", message, "Unexpected internal error", kind="SystemFault")


def throttled() -> ApiFault:
    """More than 10 requests in a second or 500 in a minute for one company."""
    message = "message=ThrottleExceeded; errorCode=003001; statusCode=429"
    return ApiFault(429, "3001", message, "ThrottleExceeded", kind="THROTTLE")


def unsupported(operation: str) -> ApiFault:
    """An operation that the entity does not support."""
    detail = f"Operation {operation} is not supported."
    return ApiFault(400, "500", "Unsupported Operation", detail)


def not_found() -> ApiFault:
    """No such object; Intuit replies the same for a deleted one."""
    return ApiFault(400, "610", "Object Not Found", f"Object Not Found : {INACTIVE}")


def unknown_property(entity: str, name: str, known: int) -> ApiFault:
    """A key that the entity does not have: Intuit's JSON parser is strict."""
    detail = (
        f'Property Name:Unrecognized field "{name}" (class com.intuit.schema.finance.v3.{entity}), '
        f"not marked as ignorable ({known} known properties)\n specified is unsupported or invalid"
    )
    return ApiFault(400, "2010", "Request has invalid or unsupported property", detail)


def unreadable(detail: str) -> ApiFault:
    """A body that is not a JSON object."""
    return ApiFault(400, "2010", "Request has invalid or unsupported property", f"Property Name:{detail}")


def missing(name: str) -> ApiFault:
    """A required property is missing."""
    message = "Required param missing, need to supply the required value for the API"
    return ApiFault(400, "2020", message, f"Required parameter {name} is missing in the request")


def invalid_id(value: object) -> ApiFault:
    """An id that is not a number."""
    return ApiFault(400, "2030", "Invalid ID", f"Id should be a valid number. Supplied value:{value}")


def invalid_number(name: str, value: object) -> ApiFault:
    """An invalid number or date."""
    detail = f"Property Name:{name} Supplied value:{value} is invalid"
    return ApiFault(400, "2040", "Invalid Number or Date", detail)


def too_long(name: str, longest: int, length: int) -> ApiFault:
    """A text that is longer than its field."""
    message = "String length is either shorter or longer than supported by specification"
    return ApiFault(400, "2050", message, f"{name}: Min:0 Max:{longest} supported. Supplied length:{length}")


def invalid_reference(name: str, value: object) -> ApiFault:
    """A reference to something that does not exist or is not active."""
    return ApiFault(400, "2500", "Invalid Reference Id", f"Invalid Reference Id : {name} {value} not found. {INACTIVE}")


def stale() -> ApiFault:
    """The SyncToken is outdated: the object was changed meanwhile."""
    detail = (
        "Stale Object Error : You and Robin Teller were working on this at the same time. "
        "Robin Teller finished before you did, so your work was not saved."
    )
    return ApiFault(400, "5010", "Stale Object Error", detail)


def business(detail: str) -> ApiFault:
    """A rule of bookkeeping is violated."""
    message = "A business validation error has occurred while processing your request"
    return ApiFault(400, "6000", message, f"Business Validation Error: {detail}")


def amount_mismatch(amount: object, product: object) -> ApiFault:
    """A line whose amount is not quantity times unit price."""
    detail = f"Amount is not equal to UnitPrice * Qty. Supplied value:{amount}, expected:{product}"
    return ApiFault(400, "6070", "Amount calculation incorrect in the request", detail)


def duplicate_number(number: str, entity: str, external_id: str) -> ApiFault:
    """The document number exists."""
    detail = (
        "Duplicate Document Number Error : You must specify a different number. This number has already been used. "
        f"DocNumber={number} is assigned to TxnType={entity} with TxnId={external_id}"
    )
    return ApiFault(400, "6140", "Duplicate Document Number Error", detail)


def closed_period() -> ApiFault:
    """The date is in a closed period."""
    detail = "Account Period Closed : The account period has closed; the books cannot be changed by the API."
    return ApiFault(400, "6210", "Account Period Closed, Cannot Update Through Services API", detail)


def duplicate_name() -> ApiFault:
    """Names of customers, items and accounts are unique."""
    return ApiFault(400, "6240", "Duplicate Name Exists Error", "The name supplied already exists. : null")


def deposited() -> ApiFault:
    """A payment in a bank deposit cannot be changed."""
    message = "Deposited Transaction cannot be changed"
    return ApiFault(400, "6540", message, "Deposited Transaction cannot be changed : remove it from the deposit first")


def unparsable(detail: str) -> ApiFault:
    """A query with a syntax error."""
    return ApiFault(400, "4000", "Error parsing query", f"QueryParserError: {detail}")


def invalid_query(detail: str) -> ApiFault:
    """A query with valid syntax for something that is not possible."""
    return ApiFault(400, "4001", "Invalid query", f"QueryValidationError: {detail}")


def too_old(changed_since: str) -> ApiFault:
    """Change data capture reaches back 30 days. The message was recorded, the code is assumed."""
    detail = f"Operation cdc with changedSince date {changed_since} which is older than fixed days is not supported."
    return ApiFault(400, "500", "Unsupported Operation", detail)
