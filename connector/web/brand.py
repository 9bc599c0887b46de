"""The brand of a company: logo, colour, who signs, footer; shown in an example email while it is being changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from starlette.responses import HTMLResponse, Response

from connector.branding import colours
from connector.branding.brand import NAMES, Brand, BrandChange, BrandError, apply_change, brand_version, load_brand
from connector.branding.pictures import UPLOAD_BYTES_MAX, Picture
from connector.db.engine import reading
from connector.db.tables import Connection
from connector.emails.outbound.sent_emails import embed_images
from connector.errors import NotFound, NotPossible
from connector.services import branding
from connector.vocabulary import Role
from connector.web.outbox import EMAIL_PREVIEW_CSP, PREVIEW_FRAME_CSP
from connector.web.page_request import PageRequest
from connector.web.rendering import render
from connector.web.routes import Route

_TEXT_MAX = 3000
_DARK_QUERY = re.compile(r"@media \(prefers-color-scheme: ?dark\)")


class _Frame(NamedTuple):
    """An email in one window: its width in pixels, and its HTML in one colour scheme."""

    title: str
    width: int
    html: str


def show_brand(request: PageRequest) -> Response:
    """Show the brand as a form, and the example email."""
    return _render(request, {})


def save_brand(request: PageRequest) -> Response:
    """Save the submitted brand."""
    company = _get_company(request)
    try:
        branding.set_brand(
            request.app,
            company.id or 0,
            _submitted(request),
            by=request.actor.email,
            version=request.form_value("version", 60),
        )
    except BrandError as error:
        return _render(request, {error.field: str(error)})
    except NotPossible as error:
        return _render(request, {"version": str(error)})
    return request.redirect(f"/companies/{company.id}/brand", notice="brand_saved")


def preview_saved(request: PageRequest) -> Response:
    """Return the example email with the brand as it is."""
    company = _get_company(request)
    with reading(request.app.engine) as session:
        return _render_preview(request, company, load_brand(session, company.id or 0), "")


def preview_form(request: PageRequest) -> Response:
    """Return the example email with the brand in the form; nothing is saved.

    A colour that cannot be read is shown as the nearest that can, with the reason.
    """
    company, change = _get_company(request), _submitted(request)
    with reading(request.app.engine) as session:
        saved = load_brand(session, company.id or 0)
    try:
        return _render_preview(request, company, apply_change(saved, change), "")
    except BrandError as error:
        colour = colours.parse_colour(change.texts.get("accent_colour", ""))
        if error.field != "accent_colour" or not colour:
            return _render_preview(request, company, saved, str(error))
        readable = replace(change, texts={**change.texts, "accent_colour": colours.readable_accent(colour)})
        try:
            return _render_preview(request, company, apply_change(saved, readable), str(error))
        except BrandError as other:
            return _render_preview(request, company, saved, str(other))


def show_picture(request: PageRequest) -> Response:
    """Return the logo or the picture of the signer, for the page."""
    company = _get_company(request)
    with reading(request.app.engine) as session:
        brand = load_brand(session, company.id or 0)
    picture = {"logo": brand.logo, "portrait": brand.portrait}.get(str(request.path_params["picture"]))
    if picture is None:
        raise NotFound
    return picture_response(picture)


def picture_response(picture: Picture) -> Response:
    """Return a picture for a page; it is no page itself."""
    headers = {"X-Content-Type-Options": "nosniff"}
    return Response(picture.content, media_type=picture.content_type, headers=headers)


def _submitted(request: PageRequest) -> BrandChange:
    return BrandChange(
        {name: request.form_value(name, _TEXT_MAX) for name in NAMES if name in request.form},
        logo=_uploaded(request, "logo"),
        portrait=_uploaded(request, "portrait"),
        remove_logo=request.form_value("remove_logo") == "yes",
        remove_portrait=request.form_value("remove_portrait") == "yes",
    )


def _uploaded(request: PageRequest, name: str) -> bytes:
    """Return a file of the form; b"" where none was chosen."""
    file = request.files.get(name)
    return file.content if file is not None else b""


def _render(request: PageRequest, problems: Mapping[str, str]) -> Response:
    """Show the page; ``problems`` are what is wrong with the form, whose texts stay."""
    with reading(request.app.engine) as session:
        company = request.company(session, request.path_id("company"))
        brand = load_brand(session, company.id or 0)
        response = request.render(
            "brand.html",
            422 if problems else 200,
            company=company,
            brand=brand,
            values={**brand.texts(), **(_submitted(request).texts if problems else {})},
            version=brand_version(session, company.id or 0),
            problems=problems,
        )
    response.headers["Content-Security-Policy"] = PREVIEW_FRAME_CSP
    return response


def _render_preview(request: PageRequest, company: Connection, brand: Brand, problem: str) -> Response:
    with reading(request.app.engine) as session:
        email = branding.example_email(request.app, session, company, brand)
    html = embed_images(email.html, email.inline)
    light, dark = _DARK_QUERY.sub("@media not all", html), _DARK_QUERY.sub("@media all", html)
    frames = [
        _Frame(f"{scheme}, {device}", width, page)
        for scheme, page in (("Light", light), ("Dark", dark))
        for device, width in (("desk", 640), ("phone", 360))
    ]
    page = render("brand_preview.html", frames=frames, problem=problem)
    headers = {"Content-Security-Policy": EMAIL_PREVIEW_CSP, "X-Frame-Options": "SAMEORIGIN"}
    return HTMLResponse(page, headers=headers)


def _get_company(request: PageRequest) -> Connection:
    with reading(request.app.engine) as session:
        return request.company(session, request.path_id("company"))


_PATH = "/companies/{company:int}/brand"
ROUTES = (
    Route("GET", _PATH, show_brand, Role.BOOKKEEPER),
    Route("POST", _PATH, save_brand, Role.BOOKKEEPER, upload_bytes_max=2 * UPLOAD_BYTES_MAX),
    Route("GET", f"{_PATH}/email.html", preview_saved, Role.BOOKKEEPER),
    Route("POST", f"{_PATH}/email.html", preview_form, Role.BOOKKEEPER, upload_bytes_max=2 * UPLOAD_BYTES_MAX),
    Route("GET", f"{_PATH}/{{picture}}.png", show_picture, Role.BOOKKEEPER),
)
