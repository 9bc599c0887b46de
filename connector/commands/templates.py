"""Commands about the words of mails: list, show, check, set, reset, preview."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.given import WithinOption, named, one_of, read_document
from connector.commands.terminal import (
    JsonOption,
    ListGroup,
    group,
    opened,
    put,
    put_json,
    put_list,
    who,
    within,
)

if TYPE_CHECKING:
    from policies.receivables import Step

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A TOML document of words; - reads stdin.")]
StepArgument = Annotated[str, typer.Argument(metavar="STEP", help="Whose mail: past_due, second_notice …")]
LanguageOption = Annotated[str, typer.Option(help="en, de, fr or es; default: every language.")]
_NO_MAIL = "makes no good mail"
templates = group(ListGroup, "The words of mails: the shipped ones, and your own.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(templates, name="templates")


@templates.command("list")
def list_templates(as_json: JsonOption = False) -> None:
    """List the mails there are, and whose words each uses."""
    from connector.database import reading
    from connector.letters import mail_words
    from connector.letters.mails import MAILED

    with opened() as installation, reading(installation.engine) as session:
        own = mail_words.listing(session)
        rows = [
            {
                "id": f"{row.connection_id or ''}:{row.step}:{row.language}",
                "step": row.step,
                "words": "own",
                "language": row.language or "every",
                "connection": row.connection_id,
                "set_by": row.set_by,
                "set_at": row.set_at,
            }
            for row in own
        ]
    named = {row.step for row in own}
    rows += [
        {"id": f":{step}:", "step": step.value, "words": "shipped", "language": "every", "connection": None}
        for step in MAILED
        if step.value not in named
    ]
    columns = {"step": "STEP", "words": "WORDS", "language": "LANGUAGE", "connection": "BOOKS", "set_by": "SET BY"}
    put_list(rows, columns, "There are no mails.", as_json=as_json)


@templates.command("show")
def show_template(
    step: StepArgument,
    connection: WithinOption = None,
    language: LanguageOption = "en",
    tone: Annotated[str, typer.Option(help="gentle, standard or firm.")] = "standard",
    as_json: JsonOption = False,
) -> None:
    """Print the words of a mail as a document that can be edited and set: yours, else the shipped ones."""
    from connector.database import reading
    from connector.letters import mail_words

    wanted = _step(step)
    _how(language, tone)
    with opened() as installation:
        inside = within(installation, connection)
        with reading(installation.engine) as session:
            own = mail_words.own(session, inside, wanted, language)
    document = mail_words.written(own) if own else mail_words.shipped(wanted, language, tone)
    if as_json:
        put_json({"id": step, "words": "own" if own else "shipped", "document": document})
    else:
        put(document)


@templates.command("check")
def check_template(
    file: FileArgument,
    step: Annotated[str, typer.Option(help="For the mail of this step.")] = "past_due",
    as_json: JsonOption = False,
) -> None:
    """Check a document: it must make a mail about one invoice and about many."""
    from connector.letters import mail_words

    wanted = _step(step)
    with named(file, mail_words.TemplateError, _NO_MAIL):
        mail_words.check(read_document(file), wanted)
    if as_json:
        put_json({"id": str(file), "ok": True})
    else:
        put(f"{file} makes a good {step} mail.")


@templates.command("set")
def set_template(
    step: StepArgument,
    file: FileArgument,
    connection: WithinOption = None,
    language: LanguageOption = "",
    as_json: JsonOption = False,
) -> None:
    """Use your own words for a mail from now on; they are checked first."""
    from connector.letters.mail_words import TemplateError

    with named(file, TemplateError, _NO_MAIL):
        _set(step, read_document(file), connection, language, as_json=as_json)


@templates.command("reset")
def reset_template(
    step: StepArgument, connection: WithinOption = None, language: LanguageOption = "", as_json: JsonOption = False
) -> None:
    """Use the shipped words again."""
    _set(step, "", connection, language, as_json=as_json)


@templates.command("preview")
def preview_template(
    step: StepArgument,
    invoice: Annotated[str, typer.Option(metavar="N", help="The number of an invoice in the mirror.")],
    connection: WithinOption = None,
    file: Annotated[Path | None, typer.Option(help="With the words of this document, not set yet.")] = None,
    language: Annotated[str, typer.Option(help="In this language, not the customer's own.")] = "",
    tone: Annotated[str, typer.Option(help="In this tone, not the policy's.")] = "",
    html: Annotated[bool, typer.Option("--html", help="Print the HTML part.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a mail with the figures of a real invoice; nothing is sent."""
    from connector.letters.mail_preview import as_text, preview
    from connector.letters.mail_words import TemplateError

    wanted, document = _step(step), read_document(file) if file else ""
    _how(language, tone)
    with named(file, TemplateError, _NO_MAIL), opened() as installation:
        inside = within(installation, connection)
        how = {"document": document, "language": language, "tone": tone}
        mail = preview(installation, wanted, invoice, connection_id=inside, **how)
    if as_json:
        put_json(
            {"id": invoice, "step": step, "to": mail.to, "subject": mail.subject, "text": mail.text, "html": mail.html}
        )
    else:
        put(mail.html if html else as_text(mail))


def _set(step: str, document: str, connection: str | None, language: str, *, as_json: bool) -> None:
    from connector.database import writing
    from connector.letters import mail_words

    wanted = _step(step)
    _how(language)
    with opened() as installation:
        inside = within(installation, connection)
        with writing(installation.engine) as session:
            mail_words.set_words(
                session,
                document,
                step=wanted,
                language=language,
                connection_id=inside,
                by=who(),
                at=installation.now(),
            )
    if as_json:
        put_json({"id": step, "words": "own" if document else "shipped", "language": language or "every"})
    else:
        put(f"{step}: {'your words' if document else 'the shipped words'} from now on.")


def _step(text: str) -> Step:
    from connector.letters.mails import MAILED
    from policies.receivables import Step

    return Step(one_of(text.strip().lower().replace("-", "_"), [each.value for each in MAILED], "mail"))


def _how(language: str, tone: str = "") -> None:
    """Refuse a language or a tone in which there are no words; the shipped ones would be shown for them unasked."""
    from connector.letters.languages import LANGUAGES
    from connector.letters.mails import TONES

    one_of(language, ("", *LANGUAGES), "language")
    one_of(tone, ("", *TONES), "tone")
