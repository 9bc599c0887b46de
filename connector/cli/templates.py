"""Commands about the words of mails: list, show, check, set, reset, preview."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import ConnectionOption, document_errors, parse_choice, read_document
from connector.cli.terminal import (
    JsonOption,
    ListGroup,
    build_group,
    echo,
    echo_json,
    echo_list,
    find_connection_id,
    open_command_app,
    os_user,
)

if TYPE_CHECKING:
    from policies.receivables import Step

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A TOML document of words; - reads stdin.")]
StepArgument = Annotated[str, typer.Argument(metavar="STEP", help="Whose mail: past_due, second_notice …")]
LanguageOption = Annotated[str, typer.Option(help="en, de, fr or es; default: every language.")]
_INVALID_TEMPLATE = "makes no good mail"
templates = build_group(ListGroup, "The words of mails: the shipped ones, and your own.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(templates, name="templates")


@templates.command("list")
def list_templates(as_json: JsonOption = False) -> None:
    """List the mails there are, and whose words each uses."""
    from connector.db.engine import reading
    from connector.emails.outbound import email_templates
    from connector.emails.outbound.render import EMAIL_STEPS

    with open_command_app() as app, reading(app.engine) as session:
        own = email_templates.list_templates(session)
        rows = [
            {
                "id": f"{row.connection_id or ''}:{row.step}:{row.language}",
                "step": row.step,
                "text": "custom",
                "language": row.language or "all",
                "connection": row.connection_id,
                "set_by": row.set_by,
                "set_at": row.set_at,
            }
            for row in own
        ]
    named = {row.step for row in own}
    rows += [
        {"id": f":{step}:", "step": step.value, "text": "default", "language": "all", "connection": None}
        for step in EMAIL_STEPS
        if step.value not in named
    ]
    columns = {"step": "STEP", "text": "WORDS", "language": "LANGUAGE", "connection": "BOOKS", "set_by": "SET BY"}
    echo_list(rows, columns, "There are no mails.", as_json=as_json)


@templates.command("show")
def show_template(
    step: StepArgument,
    connection: ConnectionOption = None,
    language: LanguageOption = "en",
    tone: Annotated[str, typer.Option(help="gentle, standard or firm.")] = "standard",
    as_json: JsonOption = False,
) -> None:
    """Print the words of a mail as a document that can be edited and set: yours, else the shipped ones."""
    from connector.db.engine import reading
    from connector.emails.outbound import email_templates

    wanted = _parse_step(step)
    _check_language_and_tone(language, tone)
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with reading(app.engine) as session:
            own = email_templates.find_custom_lines(session, inside, wanted, language)
    document = email_templates.format_document(own) if own else email_templates.default_document(wanted, language, tone)
    if as_json:
        echo_json({"id": step, "text": "custom" if own else "default", "document": document})
    else:
        echo(document)


@templates.command("check")
def check_template(
    file: FileArgument,
    step: Annotated[str, typer.Option(help="For the mail of this step.")] = "past_due",
    as_json: JsonOption = False,
) -> None:
    """Check a document: it must make a mail about one invoice and about many."""
    from connector.emails.outbound import email_templates

    wanted = _parse_step(step)
    with document_errors(file, email_templates.TemplateError, _INVALID_TEMPLATE):
        email_templates.check_document(read_document(file), wanted)
    if as_json:
        echo_json({"id": str(file), "ok": True})
    else:
        echo(f"{file} makes a good {step} mail.")


@templates.command("set")
def set_template(
    step: StepArgument,
    file: FileArgument,
    connection: ConnectionOption = None,
    language: LanguageOption = "",
    as_json: JsonOption = False,
) -> None:
    """Use your own words for a mail from now on; they are checked first."""
    from connector.emails.outbound.email_templates import TemplateError

    with document_errors(file, TemplateError, _INVALID_TEMPLATE):
        _set_template(step, read_document(file), connection, language, as_json=as_json)


@templates.command("reset")
def reset_template(
    step: StepArgument, connection: ConnectionOption = None, language: LanguageOption = "", as_json: JsonOption = False
) -> None:
    """Use the shipped words again."""
    _set_template(step, "", connection, language, as_json=as_json)


@templates.command("preview")
def preview_template(
    step: StepArgument,
    invoice: Annotated[str, typer.Option(metavar="N", help="The number of an invoice in the mirror.")],
    connection: ConnectionOption = None,
    file: Annotated[Path | None, typer.Option(help="With the words of this document, not set yet.")] = None,
    language: Annotated[str, typer.Option(help="In this language, not the customer's own.")] = "",
    tone: Annotated[str, typer.Option(help="In this tone, not the policy's.")] = "",
    html: Annotated[bool, typer.Option("--html", help="Print the HTML part.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a mail with the figures of a real invoice; nothing is sent."""
    from connector.emails.outbound.email_templates import TemplateError
    from connector.services.template_preview import format_email, preview_email

    wanted, document = _parse_step(step), read_document(file) if file else ""
    _check_language_and_tone(language, tone)
    with document_errors(file, TemplateError, _INVALID_TEMPLATE), open_command_app() as app:
        inside = find_connection_id(app, connection)
        how = {"document": document, "language": language, "tone": tone}
        mail = preview_email(app, wanted, invoice, connection_id=inside, **how)
    if as_json:
        echo_json(
            {"id": invoice, "step": step, "to": mail.to, "subject": mail.subject, "text": mail.text, "html": mail.html}
        )
    else:
        echo(mail.html if html else format_email(mail))


def _set_template(step: str, document: str, connection: str | None, language: str, *, as_json: bool) -> None:
    from connector.db.engine import writing
    from connector.emails.outbound import email_templates

    wanted = _parse_step(step)
    _check_language_and_tone(language)
    with open_command_app() as app:
        inside = find_connection_id(app, connection)
        with writing(app.engine) as session:
            email_templates.save_template(
                session,
                document,
                step=wanted,
                language=language,
                connection_id=inside,
                by=os_user(),
                at=app.now(),
            )
    if as_json:
        echo_json({"id": step, "text": "custom" if document else "default", "language": language or "all"})
    else:
        echo(f"{step}: {'your words' if document else 'the shipped words'} from now on.")


def _parse_step(text: str) -> Step:
    from connector.emails.outbound.render import EMAIL_STEPS
    from policies.receivables import Step

    return Step(parse_choice(text.strip().lower().replace("-", "_"), [each.value for each in EMAIL_STEPS], "email"))


def _check_language_and_tone(language: str, tone: str = "") -> None:
    """Refuse a language or a tone in which there are no words; the shipped ones would be shown for them unasked."""
    from connector.emails.outbound.render import TONES
    from connector.languages import LANGUAGES

    parse_choice(language, ("", *LANGUAGES), "language")
    parse_choice(tone, ("", *TONES), "tone")
