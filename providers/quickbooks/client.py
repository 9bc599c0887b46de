"""The calls of one company: python-quickbooks builds the requests, our transport sends them.

The only module that uses the SDK. It returns raw bytes, never the SDK's objects, in which a deleted invoice looks paid;
and it sends bodies as given, never by an object's ``save()``, which sends empty keys that overwrite.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Final, cast

import requests
from quickbooks.client import QuickBooks

from providers.calls import CallKind, CallObserver
from providers.errors import PermanentError
from providers.http import Service, TransportLimits, hosts_of, install_transport
from providers.quickbooks import faults
from providers.sign_in import AccessToken

MINOR_VERSION: Final = 75  # the minimum since August 2025, and the latest known


class Client:
    """The calls of one company; one client per run and thread."""

    def __init__(
        self,
        api_url: str,
        realm_id: str,
        access_token: AccessToken,
        calls: CallObserver,
        limits: TransportLimits | None = None,
    ) -> None:
        service = Service(
            "QuickBooks",
            hosts_of(api_url),
            faults.TRACE_HEADER,
            limit_from_body=faults.limit_from_body,
            default_retry_after=faults.THROTTLE_WAIT,
            own_words=faults.own_words,
            is_definite=faults.is_definite,
        )
        session = requests.Session()
        install_transport(
            session, service, calls, lambda request: CallKind.READ if is_read(request) else CallKind.WRITE, limits
        )
        self._sdk = _RawQuickBooks(company_id=realm_id, minorversion=MINOR_VERSION)
        self._sdk.api_url_v3 = f"{api_url}/v3"
        self._sdk.session = _RefreshingSession(session, access_token)
        self._sdk.service = service
        self._realm_id = realm_id

    def query(self, statement: str, params: dict[str, str] | None = None) -> bytes:
        """Run a statement of Intuit's query language and return the reply."""
        return cast("bytes", self._sdk.query(statement.encode(), params or {}))

    def changes(self, entities: Sequence[str], since: str) -> bytes:
        """Return the changes since then, by change data capture; ``since`` is ISO text with an offset."""
        return cast("bytes", self._sdk.change_data_capture(",".join(entities), since))

    def read(self, entity: str, external_id: str, params: dict[str, str] | None = None) -> bytes:
        """Return one object."""
        return cast("bytes", self._sdk.get_single_object(entity, external_id, params))

    def create(self, entity: str, body: bytes, request_id: str) -> bytes:
        """Create an object and return it, once per ``request_id`` as far as Intuit honours it."""
        return cast("bytes", self._sdk.create_object(entity, body, request_id=request_id))

    def batch(self, body: bytes, request_id: str) -> bytes:
        """Carry out up to 30 operations; each has its result, or a fault of its own, in the reply."""
        url = f"{self._sdk.api_url}/company/{self._realm_id}/batch"
        return cast("bytes", self._sdk.post(url, body, request_id=request_id))

    def void(self, entity: str, body: bytes, request_id: str) -> bytes:
        """Void a transaction, named in ``body`` by Id and SyncToken, and return it."""
        params = {"operation": "void"}
        return cast("bytes", self._sdk.update_object(entity, body, request_id=request_id, params=params))

    def pdf(self, entity: str, external_id: str) -> bytes | None:
        """Return the object as Intuit prints it, None where it cannot."""
        url = f"{self._sdk.api_url}/company/{self._realm_id}/{entity.lower()}/{external_id}/pdf"
        response = self._sdk.process_request("GET", url, headers={"Accept": "application/pdf"}, params={}, data=None)
        if response.ok and response.content.startswith(b"%PDF"):
            return cast("bytes", response.content)
        with contextlib.suppress(PermanentError):  # an email without the PDF is better than none
            faults.require_success(response, self._sdk.service, CallKind.READ)
        return None


def is_read(request: requests.PreparedRequest) -> bool:
    """Return whether a request may be repeated. Queries are POSTed and yet reads: they change nothing."""
    return request.method == "GET" or str(request.url).split("?", 1)[0].endswith("/query")


class _RefreshingSession:
    """Replaces the SDK's session: refreshes the token once where Intuit replies 401."""

    def __init__(self, session: requests.Session, access_token: AccessToken) -> None:
        self._session = session
        self._access_token = access_token

    @property
    def access_token(self) -> str:
        """The only attribute of a session that the SDK reads."""
        return self._access_token()

    def request(self, method: str, url: str, *, headers: dict[str, str], params: Any, data: Any) -> requests.Response:
        """Send the request, on a 401 once more with a new token: nothing has happened, so a write may be repeated."""
        response = self._session.request(method, url, headers=headers, params=params, data=data)
        if response.status_code != requests.codes.unauthorized:
            return response
        rejected_token = headers["Authorization"].removeprefix("Bearer ")
        headers = {**headers, "Authorization": f"Bearer {self._access_token(rejected_token=rejected_token)}"}
        return self._session.request(method, url, headers=headers, params=params, data=data)


class _RawQuickBooks(QuickBooks):  # type: ignore[misc]  # the SDK has no types
    """python-quickbooks that returns the raw reply: its own parsing loses status, trace id and exact amounts."""

    service: Service

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
        """Send a request that the SDK has built and return the body of the reply."""
        query = {**(params or {}), "minorversion": self.minorversion}
        if request_id:
            query["requestid"] = request_id
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        response = self.process_request(request_type, url, headers=headers, params=query, data=request_body or None)
        kind = CallKind.READ if is_read(response.request) else CallKind.WRITE
        return faults.require_success(response, self.service, kind)
