"""The consent page of the simulated sign-ins of Xero and Intuit, which scripts can use too.

A GET of the authorize URL shows the page, whose form posts to the same URL with ``organisation`` (repeated) and
``decision=allow`` or ``deny``. With ``&sandbox_allow=1`` in the authorize URL it redirects at once, for the first
organisation; with ``sandbox_allow=all`` for all (where several may be chosen), with ``sandbox_organisation=ID``
(repeated) for these; ``sandbox_deny=1`` denies access.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; padding: 1.5rem; max-width: 34rem; }
fieldset { border: 1px solid GrayText; border-radius: .5rem; margin: 1rem 0; padding: .75rem 1rem; }
label { display: block; padding: .5rem 0; } input { inline-size: 1.2rem; block-size: 1.2rem; vertical-align: middle; }
button { font: inherit; padding: .75rem 1.5rem; margin: .5rem .5rem 0 0; border-radius: .5rem; border: 1px solid; }
button { cursor: pointer; }
button.allow { background: #0b57d0; color: #fff; border-color: #0b57d0; }
:focus-visible { outline: 3px solid #f9ab00; outline-offset: 2px; } small { color: GrayText; }
"""


class Organisation(NamedTuple):
    """A company that can be chosen on the page."""

    id: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class ConsentPrompt:
    """What the page shows: which ``app`` requests access to which ``scopes`` and organisations of ``service``."""

    service: str
    app: str
    user_name: str
    organisations: Sequence[Organisation]
    scopes: Sequence[str]
    allow_multiple: bool


async def handle_consent(
    request: Request, prompt: ConsentPrompt, allow: Callable[[list[str]], str], deny: Callable[[], str]
) -> Response:
    """Show the page, or redirect to the URL that ``allow(organisation ids)`` or ``deny()`` returns."""
    available = [organisation.id for organisation in prompt.organisations]
    if request.method == "POST":
        form = await request.form()
        decision = str(form.get("decision", ""))
        chosen = [str(value) for value in form.getlist("organisation")]
    else:
        query = request.query_params
        decision = "allow" if query.get("sandbox_allow") else "deny" if query.get("sandbox_deny") else ""
        choose_all = prompt.allow_multiple and query.get("sandbox_allow") == "all"
        chosen = query.getlist("sandbox_organisation") or (available if choose_all else available[:1])
    if decision == "deny":
        return RedirectResponse(deny(), status_code=302)
    chosen = [organisation for organisation in chosen if organisation in available]
    if decision == "allow" and chosen:
        return RedirectResponse(allow(chosen), status_code=302)
    error_text = "Choose at least one organisation." if decision else ""
    return HTMLResponse(_render_page(prompt, request.url.path + "?" + request.url.query, error_text))


def _render_page(prompt: ConsentPrompt, action: str, error_text: str) -> str:
    kind = "checkbox" if prompt.allow_multiple else "radio"
    choices = "\n".join(
        f'<label><input type="{kind}" name="organisation" value="{escape(o.id)}"{" checked" if n == 0 else ""}> '
        f"{escape(o.name)} <small>{escape(o.detail)}</small></label>"
        for n, o in enumerate(prompt.organisations)
    )
    scopes = "\n".join(f"<li><code>{escape(scope)}</code></li>" for scope in prompt.scopes)
    alert = f'<p role="alert"><strong>{escape(error_text)}</strong></p>' if error_text else ""
    app, service = escape(prompt.app), escape(prompt.service)
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{app} requests access – {service} sandbox</title><style>{_STYLE}</style></head>
<body>
<main>
<h1>{app} requests access</h1>
<p>This is the simulated {service} of the sandbox. You are signed in as {escape(prompt.user_name)}.</p>
{alert}
<form method="post" action="{escape(action)}">
<fieldset><legend>Which organisation{"s" if prompt.allow_multiple else ""}?</legend>
{choices}
</fieldset>
<p>{app} will be allowed:</p>
<ul>
{scopes}
</ul>
<button class="allow" type="submit" name="decision" value="allow">Allow access</button>
<button type="submit" name="decision" value="deny">Cancel</button>
</form>
</main>
</body>
</html>
"""
