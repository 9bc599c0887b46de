"""Operations for what a connection's emails, statements and portal look like."""

from __future__ import annotations

import base64

from fastapi import APIRouter
from starlette.responses import Response

from connector.api import bodies
from connector.api.api_route import AdminCall, ApiRoute, ReadCall
from connector.api.call import json_response
from connector.api.costly_calls import one_at_a_time
from connector.branding.brand import BrandChange, BrandError
from connector.db.engine import reading
from connector.services import branding
from connector.services.branding import BrandItem

router = APIRouter(route_class=ApiRoute, tags=["brand"])
_PATH = "/connections/{connection}/brand"


@router.get(_PATH, response_model=BrandItem)
def show_brand(call: ReadCall, connection: str) -> Response:
    """Return the brand of a connection; of its pictures the size."""
    with reading(call.app.engine) as session:
        return json_response(branding.load_item(session, call.find_connection(session, connection)))


@router.patch(_PATH, response_model=BrandItem)
def set_brand(call: AdminCall, connection: str, body: bodies.BrandRequest) -> Response:
    """Change the brand of a connection; what is not named stays. An empty picture is removed."""
    with reading(call.app.engine) as session:
        connection_id = call.find_connection(session, connection).id or 0
    texts = body.model_dump(include={"accent_colour", "signer_name", "signature", "legal_footer"}, exclude_none=True)
    if body.links is not None:
        texts["links"] = "\n".join(body.links)
    change = BrandChange(
        texts,
        logo=_decode("logo", body.logo),
        portrait=_decode("portrait", body.portrait),
        remove_logo=body.logo == "",
        remove_portrait=body.portrait == "",
    )
    with one_at_a_time(call.client):  # pictures are drawn anew
        return json_response(branding.set_brand(call.app, connection_id, change, by=call.actor))


def _decode(field: str, text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except ValueError:  # also for letters that no base64 has
        raise BrandError(field, f"{field}: a picture has to be base64.") from None
