"""Answers the browser that comes back from a vendor's consent page, in ``serve`` and in ``connect`` alike."""

from __future__ import annotations

from connector.consent import ConsentError, finish_consent, redirect_uri
from connector.installation import Installation
from connector.web.pages import render


def answer_callback(installation: Installation, provider_name: str, query: str) -> tuple[int, str]:
    """Finish the consent and say on a page how it went: status and HTML."""
    if provider_name not in installation.providers:
        return 404, render("answer.html", title="Not found", lines=["There is no such ledger."])
    try:
        rows = finish_consent(installation, provider_name, f"{redirect_uri(installation, provider_name)}?{query}")
    except ConsentError as problem:
        return 400, render("answer.html", title="Not connected", lines=[str(problem)])
    lines = [f"{row.name} is connected (id {row.id}), in mode {row.mode}." for row in rows]
    lines.append("duewell only reads and plans until you switch it to approve or live. You may close this page.")
    return 200, render("answer.html", title="Connected", lines=lines)
