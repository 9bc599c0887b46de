"""Commands for what a company's emails, statements and portal look like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from connector.cli.terminal import (
    CommandError,
    JsonOption,
    ListGroup,
    build_group,
    echo,
    echo_json,
    get_connection_id,
    open_command_app,
    os_user,
)
from connector.cli.wrong_values import WrongValueError

brand = build_group(ListGroup, "Show and change what a company's emails look like.")
ConnectionArgument = Annotated[str, typer.Argument(metavar="CONNECTION", help="The company's id or short name.")]


def register(parent: typer.Typer) -> None:
    """Add these commands."""
    parent.add_typer(brand, name="brand")


@brand.command("show")
def show_brand(connection: ConnectionArgument, as_json: JsonOption = False) -> None:
    """Show a company's colour, pictures, signature, footer and links."""
    from connector.db.engine import reading
    from connector.db.tables import Connection
    from connector.services import branding

    with open_command_app() as app:
        connection_id = get_connection_id(app, connection)
        with reading(app.engine) as session:
            item = branding.load_item(session, session.get_one(Connection, connection_id))
    if as_json:
        echo_json(item)
        return
    rows = {
        "Company": item.connection,
        "Colour": item.accent_colour,
        "Logo": item.logo,
        "Signer": item.signer_name,
        "Picture": item.portrait,
        "Signature": item.signature,
        "Legal footer": item.legal_footer,
        "Links": "\n".join(item.links),
    }
    for name, text in rows.items():
        for line in text.splitlines() or ["–"]:
            echo(f"{name + ':':<14} {line}")


@brand.command("set")
def set_brand(  # noqa: PLR0917 - typer's parameters
    connection: ConnectionArgument,
    colour: Annotated[str | None, typer.Option(help="The colour of buttons and links, for example #0b5fa5.")] = None,
    logo: Annotated[Path | None, typer.Option(help="A PNG or JPEG file, up to 2 MB.")] = None,
    signer: Annotated[str | None, typer.Option(help="Who signs where a customer has no account owner.")] = None,
    picture: Annotated[Path | None, typer.Option(help="A picture of who signs: PNG or JPEG, up to 2 MB.")] = None,
    signature: Annotated[str | None, typer.Option(help="Lines below the name, at most four.")] = None,
    legal_footer: Annotated[str | None, typer.Option(help="Lines at the end, at most six.")] = None,
    link: Annotated[list[str] | None, typer.Option(help="A text and its https address; can be repeated.")] = None,
    remove_logo: Annotated[bool, typer.Option("--remove-logo", help="Show no logo.")] = False,
    remove_picture: Annotated[bool, typer.Option("--remove-picture", help="Show no picture.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Change what a company's emails, statements and portal look like.

    Options that you leave out stay as they are.
    """
    from connector.branding.brand import BrandChange, BrandError
    from connector.services import branding

    texts = {
        "accent_colour": colour,
        "signer_name": signer,
        "signature": signature,
        "legal_footer": legal_footer,
        "links": "\n".join(link) if link is not None else None,
    }
    change = BrandChange(
        {name: text.replace("\\n", "\n") for name, text in texts.items() if text is not None},
        logo=_read(logo),
        portrait=_read(picture),
        remove_logo=remove_logo,
        remove_portrait=remove_picture,
    )
    if not (change.texts or change.logo or change.portrait or remove_logo or remove_picture):
        message = "Nothing was given to change. See: duewell brand set --help"
        raise CommandError(message)
    with open_command_app() as app:
        try:
            item = branding.set_brand(app, get_connection_id(app, connection), change, by=os_user())
        except BrandError as problem:
            if colour and problem.field == "accent_colour":
                raise WrongValueError(str(problem), colour) from None
            raise CommandError(str(problem)) from None
    if as_json:
        echo_json(item)
    else:
        echo(f"Saved. It applies from the next email of {item.connection}.")


def _read(path: Path | None) -> bytes:
    """Return a file, as far as it can be a picture that is taken."""
    from connector.branding.pictures import UPLOAD_BYTES_MAX

    if path is None:
        return b""
    try:
        with path.open("rb") as file:
            content = file.read(UPLOAD_BYTES_MAX + 1)
    except OSError as problem:
        message = f"{path} cannot be read: {problem.strerror}."
        raise CommandError(message) from None
    if not content:
        message = f"{path} is empty."
        raise CommandError(message)
    return content
