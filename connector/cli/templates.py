"""Commands for email templates: list, show, check, set, reset, preview."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.options import ConnectionOption, document_errors, parse_choice, read_document
from connector.cli.terminal import (
    Columns,
    JsonOption,
    ListGroup,
    WideOption,
    build_group,
    echo,
    echo_json,
    echo_results,
    find_connection_id,
    open_command_app,
    os_user,
)

if TYPE_CHECKING:
    from policies.receivables import Step

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file with the texts, or - for stdin.")]
StepArgument = Annotated[str, typer.Argument(metavar="STEP", help="The reminder step: past_due, second_notice …")]
LanguageOption = Annotated[str, typer.Option(help="en, de, fr, es, nl, it or pt. Default: every language.")]
_INVALID_TEMPLATE = "is not a valid email template"
templates = build_group(ListGroup, "Show and customise the email templates.")


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(templates, name="templates")


@templates.command("list")
def list_templates(wide: WideOption = False, as_json: JsonOption = False) -> None:
    """List the emails, with the template each of them uses."""
    from connector.db.engine import reading
    from connector.emails.outbound import email_templates
    from connector.vocabulary.labels import label

    with open_command_app() as app, reading(app.engine) as session:
        rows = email_templates.list_steps(session)
    columns: Columns[email_templates.TemplateItem] = {
        "STEP": lambda row: row.step,
        "NAME": lambda row: label(row.step),
        "TEMPLATE": lambda row: label(row.text),
        "LANGUAGE": lambda row: row.language,
        "COMPANY": lambda row: row.connection,
        "SET BY": lambda row: row.set_by,
    }
    echo_results(rows, columns, "There are no emails.", as_json=as_json, wide=wide)


@templates.command("show")
def show_template(
    step: StepArgument,
    connection: ConnectionOption = None,
    language: Annotated[str, typer.Option(help="The language: en, de, fr, es, nl, it or pt.")] = "en",
    tone: Annotated[str, typer.Option(help="The tone: gentle, standard or firm.")] = "standard",
    as_json: JsonOption = False,
) -> None:
    """Print an email template.

    Prints your template or the default one, as a document that you can edit and set.
    """
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
    step: Annotated[str, typer.Option(help="The reminder step.")] = "past_due",
    as_json: JsonOption = False,
) -> None:
    """Check a template: it must work for one invoice and for many."""
    from connector.emails.outbound import email_templates

    wanted = _parse_step(step)
    with document_errors(file, email_templates.TemplateError, _INVALID_TEMPLATE):
        email_templates.check_document(read_document(file), wanted)
    if as_json:
        echo_json({"id": str(file), "ok": True})
    else:
        echo(f"{file} is a valid template for {step}.")


@templates.command("set")
def set_template(
    step: StepArgument,
    file: FileArgument,
    connection: ConnectionOption = None,
    language: LanguageOption = "",
    as_json: JsonOption = False,
) -> None:
    """Use your own template for an email.

    The template is checked first.
    """
    from connector.emails.outbound.email_templates import TemplateError

    with document_errors(file, TemplateError, _INVALID_TEMPLATE):
        _set_template(step, read_document(file), connection, language, as_json=as_json)


@templates.command("reset")
def reset_template(
    step: StepArgument, connection: ConnectionOption = None, language: LanguageOption = "", as_json: JsonOption = False
) -> None:
    """Use the default template again."""
    _set_template(step, "", connection, language, as_json=as_json)


@templates.command("preview")
def preview_template(
    step: StepArgument,
    invoice: Annotated[str, typer.Option(metavar="N", help="The number of an invoice.")],
    connection: ConnectionOption = None,
    file: Annotated[Path | None, typer.Option(help="Preview this template instead of the current one.")] = None,
    language: Annotated[str, typer.Option(help="Preview in this language instead of the customer's.")] = "",
    tone: Annotated[str, typer.Option(help="Preview in this tone instead of the policy's.")] = "",
    html: Annotated[bool, typer.Option("--html", help="Print the HTML version.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Preview an email with a real invoice.

    Nothing is sent.
    """
    from connector.emails.outbound.email_templates import TemplateError
    from connector.services.template_preview import format_email, preview_email

    wanted, document = _parse_step(step), read_document(file) if file else ""
    _check_language_and_tone(language, tone)
    with document_errors(file, TemplateError, _INVALID_TEMPLATE), open_command_app() as app:
        inside = find_connection_id(app, connection)
        email = preview_email(
            app, wanted, invoice, connection_id=inside, document=document, language=language, tone=tone
        )
    if as_json:
        echo_json(
            {
                "id": invoice,
                "step": step,
                "to": email.to,
                "subject": email.subject,
                "text": email.text,
                "html": email.html,
            }
        )
    else:
        echo(email.html if html else format_email(email))


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
        echo(f"{step}: uses {'your template' if document else 'the default template'} from now on.")


def _parse_step(text: str) -> Step:
    from connector.emails.outbound.render import EMAIL_STEPS
    from policies.receivables import Step

    return Step(parse_choice(text.strip().lower().replace("-", "_"), [each.value for each in EMAIL_STEPS], "email"))


def _check_language_and_tone(language: str, tone: str = "") -> None:
    """Reject a language or tone without templates; the default one would be shown instead, unnoticed."""
    from connector.emails.outbound.render import TONES
    from connector.languages import LANGUAGES

    parse_choice(language, ("", *LANGUAGES), "language")
    parse_choice(tone, ("", *TONES), "tone")
