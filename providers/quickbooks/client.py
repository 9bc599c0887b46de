"""Calls to one company's books: python-quickbooks builds the requests, our transport sends them.

The only file with the SDK. Raw bytes come back, never the SDK's objects (in them a deleted invoice looks paid), and
bodies go out as they are given, never by the objects' ``save()`` (it sends empty keys that overwrite).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Final, cast

import requests
from quickbooks.client import QuickBooks

from providers.errors import PermanentError
from providers.http import READ, WRITE, TransportLimits, Vendor, hosts_of, install_transport
from providers.ledger import AccessToken, CallObserver
from providers.quickbooks import faults

MINOR_VERSION: Final = 75  # the least since August 2025, and the newest known


class Client:
    """The calls of one company; one per run and thread."""

    def __init__(
        self,
        api_url: str,
        realm_id: str,
        access_token: AccessToken,
        calls: CallObserver,
        limits: TransportLimits | None = None,
    ) -> None:
        vendor = Vendor(
            "QuickBooks",
            hosts_of(api_url),
            faults.TRACE_HEADER,
            limit_from_body=faults.limit_from_body,
            default_retry_after=faults.THROTTLE_WAIT,
        )
        session = requests.Session()
        install_transport(session, vendor, calls, lambda request: READ if is_read(request) else WRITE, limits)
        self._sdk = _RawQuickBooks(company_id=realm_id, minorversion=MINOR_VERSION)
        self._sdk.api_url_v3 = f"{api_url}/v3"
        self._sdk.session = _RefreshingSession(session, access_token)
        self._sdk.vendor = vendor
        self._realm_id = realm_id

    def query(self, statement: str) -> bytes:
        """Run a statement of Intuit's query language."""
        return cast("bytes", self._sdk.query(statement.encode()))

    def changes(self, entities: Sequence[str], since: str) -> bytes:
        """Ask the change data capture; ``since`` is ISO text with its offset (the SDK's own helper drops it)."""
        return cast("bytes", self._sdk.change_data_capture(",".join(entities), since))

    def read(self, entity: str, external_id: str, params: dict[str, str] | None = None) -> bytes:
        """Read one object."""
        return cast("bytes", self._sdk.get_single_object(entity, external_id, params))

    def create(self, entity: str, body: bytes, request_id: str) -> bytes:
        """Create an object, once per ``request_id`` as far as Intuit keeps its promise."""
        return cast("bytes", self._sdk.create_object(entity, body, request_id=request_id))

    def void(self, entity: str, body: bytes, request_id: str) -> bytes:
        """Void a transaction; ``body`` names it by Id and SyncToken."""
        params = {"operation": "void"}
        return cast("bytes", self._sdk.update_object(entity, body, request_id=request_id, params=params))

    def pdf(self, entity: str, external_id: str) -> bytes | None:
        """The object as Intuit prints it, None where it cannot."""
        url = f"{self._sdk.api_url}/company/{self._realm_id}/{entity.lower()}/{external_id}/pdf"
        response = self._sdk.process_request("GET", url, headers={"Accept": "application/pdf"}, params={}, data=None)
        if response.ok and response.content.startswith(b"%PDF"):
            return cast("bytes", response.content)
        with contextlib.suppress(PermanentError):  # a mail without the PDF is better than none
            faults.require_success(response, self._sdk.vendor, READ)
        return None


def is_read(request: requests.PreparedRequest) -> bool:
    """Queries are POSTed and yet reads: nothing changes by them, so they may be tried again."""
    return request.method == "GET" or str(request.url).split("?", 1)[0].endswith("/query")


class _RefreshingSession:
    """What the SDK takes for its session: adds one refresh where Intuit answers 401."""

    def __init__(self, session: requests.Session, access_token: AccessToken) -> None:
        self._session = session
        self._access_token = access_token

    @property
    def access_token(self) -> str:
        """The one attribute the SDK reads of a session."""
        return self._access_token()

    def request(self, method: str, url: str, *, headers: dict[str, str], params: Any, data: Any) -> requests.Response:
        """Send; on 401 once more with a fresh token: nothing has happened yet, so a write may follow too."""
        response = self._session.request(method, url, headers=headers, params=params, data=data)
        if response.status_code != requests.codes.unauthorized:
            return response
        rejected = headers["Authorization"].removeprefix("Bearer ")
        fresh = {**headers, "Authorization": f"Bearer {self._access_token(rejected_token=rejected)}"}
        return self._session.request(method, url, headers=fresh, params=params, data=data)


class _RawQuickBooks(QuickBooks):  # type: ignore[misc]  # the SDK has no types
    """python-quickbooks with the raw reply in place of its parsing, which loses status, trace id and exact amounts."""

    vendor: Vendor

    def make_request(
        self,
        request_type: str,
        url: str,
        request_body: bytes | dict[str, Any] | None = None,
        content_type: str = "application/json",
        params: dict[str, Any] | None = None,
        file_path: str | None = None,
        file_bytes: bytes | None = None,
        request_id: str | None = None,
    ) -> bytes:
        """Send one request of the SDK's making and return the body of its reply."""
        asked = {**(params or {}), "minorversion": self.minorversion}
        if request_id:
            asked["requestid"] = request_id
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        response = self.process_request(request_type, url, headers=headers, params=asked, data=request_body or None)
        kind = READ if is_read(response.request) else WRITE
        return faults.require_success(response, self.vendor, kind)
