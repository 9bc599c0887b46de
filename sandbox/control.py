"""The sandbox's own pages under ``/sandbox``: for people to look at, for scripts to act through."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.faults import Rule

if TYPE_CHECKING:
    from sandbox.server import Sandbox


def control_routes(sandbox: Sandbox) -> list[BaseRoute]:
    """Return the routes under ``/sandbox``; bad requests are answered with 400 and a sentence."""
    control = _ControlEndpoints(sandbox)
    return [
        Route("/", control.page),
        Route("/sandbox", control.page),
        Route("/sandbox/state", control.state),
        Route("/sandbox/requests", control.requests, methods=["GET", "DELETE"]),
        Route("/sandbox/clock", control.clock, methods=["GET", "POST"]),
        Route("/sandbox/faults", control.faults, methods=["GET", "POST", "DELETE"]),
        Route("/sandbox/{vendor}/invoices/{invoice}/{action}", control.act, methods=["POST"]),
        Route("/sandbox/{vendor}/{action}", control.act, methods=["POST"]),
    ]


class _ControlEndpoints:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def state(self, _request: Request) -> Response:
        """Return time, seed, and each vendor's counts."""
        return JSONResponse(self._state())

    def _state(self) -> dict[str, Any]:
        with self._sandbox.core.lock:
            vendors = {name: vendor.summary() for name, vendor in self._sandbox.vendors.items()}
        return {"now": self._sandbox.clock.now().isoformat(), "seed": self._sandbox.core.seed, **vendors}

    async def requests(self, request: Request) -> Response:
        """Return the request log, ``?vendor=&kind=&after=n``; DELETE empties it."""
        if request.method == "DELETE":
            self._sandbox.requests.clear()
            return Response(status_code=204)
        kinds = [kind for kind in request.query_params.get("kind", "").split(",") if kind]
        after = int(request.query_params.get("after", "0"))
        records = self._sandbox.requests.filter_by(request.query_params.get("vendor", ""), *kinds)
        return JSONResponse([asdict(r) | {"at": r.at.isoformat()} for r in records if r.number > after])

    async def clock(self, request: Request) -> Response:
        """Return the time; POST ``{"set": instant}``, ``{"advance_seconds": n}`` or ``{"run": true}`` moves it."""
        if request.method == "POST":
            return await _handle_json(request, self._move_clock)
        return JSONResponse({"now": self._sandbox.clock.now().isoformat()})

    def _move_clock(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        if "set" in fields:
            self._sandbox.clock.set(datetime.fromisoformat(fields["set"]))
        if "advance_seconds" in fields:
            self._sandbox.clock.advance(timedelta(seconds=float(fields["advance_seconds"])))
        if fields.get("run"):
            self._sandbox.clock.run()
        return {"now": self._sandbox.clock.now().isoformat()}

    async def faults(self, request: Request) -> Response:
        """List the rules; POST a rule's fields adds one; DELETE clears all and lets hanging requests go."""
        if request.method == "POST":
            return await _handle_json(request, lambda fields: self._sandbox.faults.add(Rule(**fields)).to_json())
        if request.method == "DELETE":
            self._sandbox.faults.clear()
            return Response(status_code=204)
        return JSONResponse([rule.to_json() for rule in self._sandbox.faults.rules])

    async def act(self, request: Request) -> Response:
        """Let a vendor's bookkeeper do something: the JSON body's fields, and ``invoice`` from the path."""
        path = request.path_params

        def do(fields: Mapping[str, Any]) -> dict[str, Any]:
            named = {"invoice": path["invoice"]} if "invoice" in path else {}
            with self._sandbox.core.lock:
                return self._sandbox.vendors[path["vendor"]].perform_action(path["action"], {**fields, **named})

        return await _handle_json(request, do)

    async def page(self, _request: Request) -> Response:
        """Show what there is and where."""
        return HTMLResponse(_render_page(self._state()))


async def _handle_json(request: Request, handler: Callable[[dict[str, Any]], dict[str, Any]]) -> Response:
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


def _render_page(state: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(vendor)}: {escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
        for vendor, counts in state.items()
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
<p>Xero, QuickBooks Online and SendGrid, make-believe, on this machine. It is {escape(str(state["now"]))} here.
Nothing leaves this machine.</p>
<p><a href="/sandbox/emails">Mails it received</a> · <a href="/sandbox/requests">Requests it got</a> ·
<a href="/sandbox/state">State as JSON</a> · <a href="/sandbox/faults">Faults in force</a></p>
<table>
<caption>What the vendors hold</caption>
<tbody>{rows}</tbody>
</table>
<p>Signing in needs no password: the consent page of each vendor says who you are and lets you choose.</p>
</main>
</body>
</html>
"""
