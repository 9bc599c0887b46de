"""Pages that show the mails received as a person would see them: no JavaScript, phone and keyboard, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from providers.sandbox.sendgrid.post_office import Mail

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


def list_page(mails: Sequence[Mail]) -> str:
    """Show all mails, the newest first."""
    items = "\n".join(_item(mail) for mail in reversed(mails))
    none = "<p>No mail has come yet.</p>"
    count = f"{len(mails)} mail{'' if len(mails) == 1 else 's'}"
    return _page(f"{count} received", f"<h1>{count} received</h1>\n" + (f"<ol>\n{items}\n</ol>" if mails else none))


def mail_page(mail: Mail, last: int) -> str:
    """Show one mail: who, what, the HTML in a frame that can do nothing, and the text beside it."""
    facts = {
        "From": f"{mail.sender_name} <{mail.sender}>" if mail.sender_name else mail.sender,
        "To": ", ".join(mail.to), "Cc": ", ".join(mail.cc), "Bcc": ", ".join(mail.bcc), "Reply to": mail.reply_to,
        "Sent": f"{mail.at:%d %b %Y %H:%M} UTC",
        "Became of it": "; ".join(f"{message.email}: {message.status}" for message in mail.messages),
    }  # fmt: skip
    behind = {"Message id": mail.message_id, "Categories": ", ".join(mail.categories)} | mail.headers
    behind |= {f"Argument {name}": value for name, value in mail.custom_args.items()}
    body = f"""<nav aria-label="Mails">{_nav(mail.number, last)}</nav>
<h1>{escape(mail.subject)}</h1>
{_facts(facts)}
<details><summary>Headers and arguments</summary>
{_facts(behind)}
</details>
{_files(mail)}
<div class="parts">
<section aria-labelledby="html"><h2 id="html">As HTML</h2>
{_frame(mail)}
</section>
<section aria-labelledby="text"><h2 id="text">As text</h2>
<pre tabindex="0">{escape(mail.text) or "This mail has no text part."}</pre>
</section>
</div>"""
    return _page(mail.subject, body)


def missing_page() -> str:
    """Say that there is no such mail."""
    return _page("No such mail", '<h1>There is no such mail</h1>\n<p><a href="/mails">All mails</a></p>')


def _item(mail: Mail) -> str:
    clip = (
        f" · {len(mail.attachments)} attachment{'' if len(mail.attachments) == 1 else 's'}" if mail.attachments else ""
    )
    return (
        f'<li><a href="/mails/{mail.number}"><strong>{escape(mail.subject)}</strong><br>'
        f"to {escape(', '.join(mail.to))}<br>"
        f"<small>{mail.at:%d %b %Y %H:%M} UTC · {escape(mail.status)}{clip}</small></a></li>"
    )


def _nav(number: int, last: int) -> str:
    links = ['<a href="/mails">All mails</a>']
    if number < last:
        links.append(f'<a rel="next" href="/mails/{number + 1}">Newer</a>')
    if number > 1:
        links.append(f'<a rel="prev" href="/mails/{number - 1}">Older</a>')
    return " · ".join(links)


def _facts(facts: Mapping[str, str]) -> str:
    rows = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    return f"<dl>\n{rows}\n</dl>"


def _files(mail: Mail) -> str:
    if not mail.attachments:
        return ""
    links = "".join(
        f'<li><a href="/mails/{mail.number}/attachments/{n}" download>{escape(part.filename)}</a> '
        f"<small>{len(part.content):,} bytes</small></li>"
        for n, part in enumerate(mail.attachments)
    )
    return f"<h2>Attachments</h2>\n<ul>{links}</ul>"


def _frame(mail: Mail) -> str:
    if not mail.html:
        return "<p>This mail has no HTML part.</p>"
    # The empty sandbox forbids scripts and forms; links may open in a tab of their own, as in a mail program.
    document = escape(f'<base target="_blank">{mail.html}')
    allowed = "allow-popups allow-popups-to-escape-sandbox"
    return f'<iframe title="The mail as HTML" sandbox="{allowed}" srcdoc="{document}"></iframe>'


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
