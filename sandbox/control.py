"""The sandbox's own endpoints under ``/sandbox``: a page for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.core import JsonObject
from sandbox.faults import Rule
from sandbox.state import SandboxState


def control_routes(sandbox: SandboxState) -> list[BaseRoute]:
    """Return the routes under ``/sandbox``; bad requests get a 400 with an explanation."""
    control = _ControlEndpoints(sandbox)
    return [
        Route("/", control.page),
        Route("/sandbox", control.page),
        Route("/sandbox/state", control.state),
        Route("/sandbox/requests", control.requests, methods=["GET", "DELETE"]),
        Route("/sandbox/clock", control.clock, methods=["GET", "POST"]),
        Route("/sandbox/faults", control.faults, methods=["GET", "POST", "DELETE"]),
        Route("/sandbox/{service}/invoices/{invoice}/{action}", control.act, methods=["POST"]),
        Route("/sandbox/{service}/{action}", control.act, methods=["POST"]),
    ]


class _ControlEndpoints:
    def __init__(self, sandbox: SandboxState) -> None:
        self._sandbox = sandbox

    async def state(self, _request: Request) -> Response:
        """Return time, seed and the counts of each service."""
        return JSONResponse(self._state())

    def _state(self) -> JsonObject:
        with self._sandbox.core.lock:
            services = {name: service.summary() for name, service in self._sandbox.services.items()}
        return {"now": self._sandbox.clock.now().isoformat(), "seed": self._sandbox.core.seed, **services}

    async def requests(self, request: Request) -> Response:
        """Return the request log, filtered by ``?service=&kind=&after=n``; DELETE clears it."""
        if request.method == "DELETE":
            self._sandbox.requests.clear()
            return Response(status_code=204)
        kinds = [kind for kind in request.query_params.get("kind", "").split(",") if kind]
        after = int(request.query_params.get("after", "0"))
        records = self._sandbox.requests.filter_by(request.query_params.get("service", ""), *kinds)
        return JSONResponse([asdict(one) | {"at": one.at.isoformat()} for one in records if one.number > after])

    async def clock(self, request: Request) -> Response:
        """Return the time; POST ``{"set": instant}``, ``{"advance_seconds": n}`` or ``{"run": true}`` moves it."""
        if request.method == "POST":
            return await _handle_json(request, self._move_clock)
        return JSONResponse({"now": self._sandbox.clock.now().isoformat()})

    def _move_clock(self, fields: JsonObject) -> JsonObject:
        if "set" in fields:
            self._sandbox.clock.set(datetime.fromisoformat(fields["set"]))
        if "advance_seconds" in fields:
            self._sandbox.clock.advance(timedelta(seconds=float(fields["advance_seconds"])))
        if fields.get("run"):
            self._sandbox.clock.run()
        return {"now": self._sandbox.clock.now().isoformat()}

    async def faults(self, request: Request) -> Response:
        """Return the rules; POST with a rule's fields adds one; DELETE removes all and releases hanging requests."""
        if request.method == "POST":
            return await _handle_json(request, lambda fields: self._sandbox.faults.add(Rule(**fields)).to_json())
        if request.method == "DELETE":
            self._sandbox.faults.clear()
            return Response(status_code=204)
        return JSONResponse([rule.to_json() for rule in self._sandbox.faults.rules])

    async def act(self, request: Request) -> Response:
        """Perform an action of a service, with the fields of the JSON body and the ``invoice`` of the path."""
        path = request.path_params
        from_path = {"invoice": path["invoice"]} if "invoice" in path else {}

        def perform(fields: JsonObject) -> JsonObject:
            with self._sandbox.core.lock:
                service = self._sandbox.services[path["service"]]
                return service.perform_action(path["action"], {**fields, **from_path})

        return await _handle_json(request, perform)

    async def page(self, _request: Request) -> Response:
        """Show the services' counts and links to everything else."""
        return HTMLResponse(_render_page(self._state()))


async def _handle_json(request: Request, handler: Callable[[JsonObject], JsonObject]) -> Response:
    try:
        body = await request.body()
        fields = json.loads(body) if body.strip() else {}
        if not isinstance(fields, dict):
            return JSONResponse({"error": "send a JSON object"}, status_code=400)
        return JSONResponse(handler(fields))
    except LookupError as error:
        return JSONResponse({"error": f"there is no {error.args[0] if error.args else 'such thing'}"}, status_code=404)
    except (ValueError, TypeError) as error:
        return JSONResponse({"error": str(error)}, status_code=400)


def _render_page(state: JsonObject) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(service)}: {escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
        for service, counts in state.items()
        if isinstance(counts, dict)
        for name, value in counts.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>The sandbox</title>
<style>:root {{ color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }}
body {{ margin: 0 auto; padding: 1.5rem; max-width: 48rem; }}
th, td {{ text-align: start; padding: .25rem 1rem .25rem 0; vertical-align: top; overflow-wrap: anywhere; }}</style>
</head>
<body>
<main>
<h1>The sandbox</h1>
<p>Simulated Xero, QuickBooks Online and SendGrid. The time here is {escape(str(state["now"]))}.
Nothing is sent from this computer.</p>
<p><a href="/sandbox/emails">Emails received</a> · <a href="/sandbox/requests">Requests received</a> ·
<a href="/sandbox/state">State as JSON</a> · <a href="/sandbox/faults">Active faults</a></p>
<table>
<caption>State of the services</caption>
<tbody>{rows}</tbody>
</table>
<p>Signing in needs no password: the consent page of each service shows who is signed in and lets you choose.</p>
</main>
</body>
</html>
"""
