"""Pages that show the received emails as recipients see them, without JavaScript."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from sandbox.sendgrid.message_store import Email

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; padding: 1rem; max-width: 80rem; }
ol { list-style: none; padding: 0; }
ol a { display: block; padding: .75rem; border: 1px solid GrayText; border-radius: .5rem; margin: .5rem 0;
  color: inherit; text-decoration: none; }
ol a:hover strong { text-decoration: underline; }
:focus-visible { outline: 3px solid #f9ab00; outline-offset: 2px; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.1rem; margin-block: 1rem .5rem; }
dt { font-weight: 600; } dd { margin: 0 0 .25rem; overflow-wrap: anywhere; }
@media (min-width: 40rem) { dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; } }
summary { padding: .5rem 0; cursor: pointer; }
.parts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
iframe { inline-size: 100%; block-size: 75vh; border: 1px solid GrayText; background: #fff; color-scheme: light; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid GrayText; padding: 1rem; margin: 0; }
small { color: light-dark(#595959, #b3b3b3); }
"""


def list_page(emails: Sequence[Email]) -> str:
    """Return the list of all emails, the latest first."""
    items = "\n".join(_item(email) for email in reversed(emails))
    empty = "<p>No emails yet.</p>"
    count = f"{len(emails)} email{'' if len(emails) == 1 else 's'}"
    return _page(f"{count} received", f"<h1>{count} received</h1>\n" + (f"<ol>\n{items}\n</ol>" if emails else empty))


def email_page(email: Email, last: int) -> str:
    """Return the page of an email: its facts, the HTML in a restricted frame, and the text."""
    facts = {
        "From": f"{email.sender_name} <{email.sender}>" if email.sender_name else email.sender,
        "To": ", ".join(email.to), "Cc": ", ".join(email.cc), "Bcc": ", ".join(email.bcc), "Reply to": email.reply_to,
        "Sent": f"{email.at:%d %b %Y %H:%M} UTC",
        "Status": "; ".join(f"{message.email}: {message.status}" for message in email.messages),
    }  # fmt: skip
    details = {"Message id": email.message_id, "Categories": ", ".join(email.categories)} | email.headers
    details |= {f"Argument {name}": value for name, value in email.custom_args.items()}
    body = f"""<nav aria-label="Emails">{_nav(email.number, last)}</nav>
<h1>{escape(email.subject)}</h1>
{_facts(facts)}
<details><summary>Headers and arguments</summary>
{_facts(details)}
</details>
{_files(email)}
<div class="parts">
<section aria-labelledby="html"><h2 id="html">As HTML</h2>
{_frame(email)}
</section>
<section aria-labelledby="text"><h2 id="text">As text</h2>
<pre tabindex="0">{escape(email.text) or "This email has no text part."}</pre>
</section>
</div>"""
    return _page(email.subject, body)


def missing_page() -> str:
    """Return the page for an unknown email."""
    return _page("No such email", '<h1>There is no such email</h1>\n<p><a href="/emails">All emails</a></p>')


def _item(email: Email) -> str:
    files = [each for each in email.attachments if not each.inline]
    attachments = f" · {len(files)} attachment{'' if len(files) == 1 else 's'}" if files else ""
    return (
        f'<li><a href="/emails/{email.number}"><strong>{escape(email.subject)}</strong><br>'
        f"to {escape(', '.join(email.to))}<br>"
        f"<small>{email.at:%d %b %Y %H:%M} UTC · {escape(email.status)}{attachments}</small></a></li>"
    )


def _nav(number: int, last: int) -> str:
    links = ['<a href="/emails">All emails</a>']
    if number < last:
        links.append(f'<a rel="next" href="/emails/{number + 1}">Newer</a>')
    if number > 1:
        links.append(f'<a rel="prev" href="/emails/{number - 1}">Older</a>')
    return " · ".join(links)


def _facts(facts: Mapping[str, str]) -> str:
    rows = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    return f"<dl>\n{rows}\n</dl>"


def _files(email: Email) -> str:
    if all(part.inline for part in email.attachments):
        return ""
    links = "".join(
        f'<li><a href="/emails/{email.number}/attachments/{n}" download>{escape(part.filename)}</a> '
        f"<small>{len(part.content):,} bytes</small></li>"
        for n, part in enumerate(email.attachments)
        if not part.inline
    )
    return f"<h2>Attachments</h2>\n<ul>{links}</ul>"


def _frame(email: Email) -> str:
    if not email.html:
        return "<p>This email has no HTML part.</p>"
    # The empty sandbox attribute forbids scripts and forms; links may open in a new tab, as in an email client.
    html = email.html
    for part in email.attachments:
        if part.inline and part.content_id:
            data = f"data:{part.content_type};base64,{base64.b64encode(part.content).decode()}"
            html = html.replace(f"cid:{part.content_id}", data)
    document = escape(f'<base target="_blank">{html}')
    allowed = "allow-popups allow-popups-to-escape-sandbox"
    return f'<iframe title="The email as HTML" sandbox="{allowed}" srcdoc="{document}"></iframe>'


def _page(title: str, main: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} – sandbox</title><style>{_STYLE}</style></head>
<body>
<main>
{main}
</main>
</body>
</html>
"""
