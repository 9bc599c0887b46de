"""The simulated Intuit over HTTP: the gateway in front of the API, and the sign-in endpoints."""

from __future__ import annotations

import json
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.consent import ConsentPrompt, Organisation, handle_consent
from sandbox.core import stable_uuid
from sandbox.quickbooks.api import Call, Reply, error_reply, pay_link, respond
from sandbox.quickbooks.api_errors import throttled, unauthenticated, unauthorized
from sandbox.quickbooks.company_ledger import CompanyLedger
from sandbox.quickbooks.entity_store import Entry
from sandbox.quickbooks.service import QuickBooks
from sandbox.quickbooks.signin import ACCOUNTING, CLIENT_ID, SCOPES, OAuthError, discovery, with_query

NO_STORE = {"Cache-Control": "no-cache, no-store", "Pragma": "no-cache"}


def routes(service: QuickBooks) -> list[BaseRoute]:
    """Return all routes."""
    gateway, bookkeeper = _Gateway(service), _SignInEndpoints(service)
    documents = [
        Route(f"/.well-known/{name}{slash}", bookkeeper.discovery)
        for name in ("openid_configuration", "openid_sandbox_configuration")
        for slash in ("", "/")
    ]
    return [
        *documents,
        Route("/connect/oauth2", bookkeeper.authorize, methods=["GET", "POST"]),
        Route("/oauth2/v1/tokens/bearer", bookkeeper.token, methods=["POST"]),
        Route("/v2/oauth2/tokens/revoke", bookkeeper.revoke, methods=["POST"]),
        Route("/v1/openid_connect/userinfo", bookkeeper.userinfo),
        Route("/op/v1/jwks", bookkeeper.jwks),
        Route("/pay/quickbooks/{invoice}", gateway.pay, methods=["GET", "POST"]),
        Route("/v3/company/{realm}/{rest:path}", gateway.api, methods=["GET", "POST"]),
    ]


class _Gateway:
    """Checks token, company and limits before the API is called, and adds a trace id to every reply."""

    def __init__(self, service: QuickBooks) -> None:
        self._service = service

    async def api(self, request: Request) -> Response:
        body = await request.body() if request.method == "POST" else b""
        path = tuple(request.path_params["rest"].split("/"))
        base = str(request.base_url).rstrip("/")
        call = Call(request.method, path, request.query_params, body, base)
        service = self._service
        with service.core.lock:
            service.reply_count += 1
            reply = self._reply(request.path_params["realm"], request.headers.get("authorization", ""), call)
            trace = stable_uuid(service.core.seed, "intuit_tid", service.reply_count).replace("-", "")
        headers = {**NO_STORE, "intuit_tid": f"1-{trace[:8]}-{trace[8:]}", "Content-Type": reply.content_type}
        return Response(reply.body, reply.status, headers)

    def _reply(self, realm: str, authorization: str, call: Call) -> Reply:
        service = self._service
        ledger, now = service.find_ledger(realm), service.core.clock.now()
        grant = service.sign_in.find_grant(authorization)
        if grant is None:
            return error_reply(now, unauthenticated())
        if ledger is None or grant.realm != realm or ACCOUNTING not in grant.scopes:
            return error_reply(now, unauthorized())
        if not service.throttle.allow(realm, now, is_batch=call.path == ("batch",)):
            return error_reply(now, throttled(), xml=service.xml_throttle)
        return respond(ledger, call, replay_requests=service.replays_requests)

    async def pay(self, request: Request) -> Response:
        """Show an invoice to the customer; the button pays it."""
        realm, _, number = request.path_params["invoice"].partition("-")
        with self._service.core.lock:
            ledger = self._service.find_ledger(realm)
            entry = ledger.find("Invoice", number) if ledger else None
            if ledger is None or entry is None or not pay_link(ledger, entry, ""):
                return HTMLResponse("<!DOCTYPE html><title>Not found</title><h1>There is no such invoice</h1>", 404)
            if request.method == "POST":
                if entry.body["Balance"]:
                    self._service.bookkeeper(realm).pay(number)
                return RedirectResponse(request.url.path, 303)
            return HTMLResponse(_pay_page(ledger, entry))


class _SignInEndpoints:
    def __init__(self, service: QuickBooks) -> None:
        self._service = service

    async def discovery(self, request: Request) -> Response:
        return JSONResponse(discovery(str(request.base_url).rstrip("/")))

    async def jwks(self, _request: Request) -> Response:
        return JSONResponse({"keys": []})

    async def authorize(self, request: Request) -> Response:
        query = request.query_params
        redirect_uri, state = query.get("redirect_uri", ""), query.get("state", "")
        if query.get("client_id") != CLIENT_ID or not redirect_uri.startswith(("http://", "https://")):
            return JSONResponse({"error": "invalid_request", "error_description": "client_id or redirect_uri"}, 400)
        scopes = query.get("scope", "").split()
        if query.get("response_type") != "code" or not scopes or not set(scopes) <= set(SCOPES) or not state:
            return RedirectResponse(with_query(redirect_uri, {"error": "invalid_scope", "state": state}), 302)
        with self._service.core.lock:
            organisations = [
                Organisation(realm, profile.name, f"{profile.country} · {profile.currency}")
                for realm, profile in self._service.list_companies().items()
            ]
        prompt = ConsentPrompt("Intuit", "duewell", "Robin Teller", organisations, scopes, allow_multiple=False)

        def allow(realms: list[str]) -> str:
            with self._service.core.lock:
                return self._service.sign_in.approve_consent(realms[0], redirect_uri, state, scopes)

        def deny() -> str:
            return with_query(redirect_uri, {"error": "access_denied", "state": state})

        return await handle_consent(request, prompt, allow, deny)

    async def token(self, request: Request) -> Response:
        form = await request.form()
        fields = {name: str(value) for name, value in form.items()}
        hard = request.headers.get("x-include-refresh-token-hard-expires-in", "").lower() == "true"
        try:
            with self._service.core.lock:
                self._service.sign_in.check_client(request.headers.get("authorization", ""), fields)
                return JSONResponse(self._service.sign_in.exchange(fields, include_hard_expiry=hard), headers=NO_STORE)
        except OAuthError as refusal:
            return JSONResponse(refusal.body, refusal.status, headers=NO_STORE)

    async def revoke(self, request: Request) -> Response:
        body = await request.body()
        try:
            fields = json.loads(body)
            token = str(fields["token"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "invalid_request"}, 400)
        try:
            with self._service.core.lock:
                self._service.sign_in.check_client(request.headers.get("authorization", ""), {})
                self._service.sign_in.revoke(token)
        except OAuthError as refusal:
            return JSONResponse(refusal.body, refusal.status)
        return Response(status_code=200)

    async def userinfo(self, request: Request) -> Response:
        with self._service.core.lock:
            grant = self._service.sign_in.find_grant(request.headers.get("authorization", ""))
        if grant is None or "openid" not in grant.scopes:
            return JSONResponse({"error": "invalid_token"}, 401)
        person = {"sub": "1f2d3c4b-robin", "email": "robin@larkspur.example", "emailVerified": True}
        return JSONResponse({**person, "givenName": "Robin", "familyName": "Teller"})


def _pay_page(ledger: CompanyLedger, entry: Entry) -> str:
    body = entry.body
    code, due = body.get("CurrencyRef", {}).get("value", ""), body["Balance"]
    number = escape(str(body.get("DocNumber", entry.number)))
    pay = f'<form method="post"><button type="submit">Pay {due:,.2f} {code}</button></form>' if due else "<p>Paid.</p>"
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Invoice {number}</title>
<style>:root {{ color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif; }}
body {{ margin: 0 auto; padding: 1.5rem; max-width: 34rem; }} button {{ font: inherit; padding: .75rem 1.5rem; }}
</style></head>
<body>
<main>
<h1>Invoice {number}</h1>
<p>From {escape(ledger.profile.name)} to {escape(body["CustomerRef"]["name"])},
due {escape(body.get("DueDate", ""))}.</p>
<p>Total {body["TotalAmt"]:,.2f} {code}, still to pay {due:,.2f} {code}.</p>
{pay}
<p><small>Simulated: no money moves.</small></p>
</main>
</body>
</html>
"""
