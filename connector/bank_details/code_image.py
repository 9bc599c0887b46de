"""Payment codes as pictures, for emails, statements and the portal.

Error correction is level M and never more, as both standards have it. The white edge that readers need is part of the
picture: emails and pages may be dark around it.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

from connector.bank_details.payment_codes import BankTransfer
from connector.vocabulary import CodeKind
from providers.import_lock import IMPORT_LOCK

if TYPE_CHECKING:
    from PIL import Image

QUIET_ZONE = 4  # modules on each side
_VERSION_MAX = {CodeKind.EPC: 13, CodeKind.SWISS: 25}
_MODULE_PIXELS = 6
_CROSS_SHARE = 7 / 46  # of the code's width
# Within the cross's square, as shares of it: the dark field, and the two bars; each as left, top, right, bottom.
_CROSS_FIELD = (0.045, 0.045, 0.955, 0.955)
_CROSS_BARS = ((0.417, 0.222, 0.583, 0.778), (0.222, 0.417, 0.778, 0.583))


class CodeTooLarge(Exception):
    """What the code would have to hold does not fit into the largest size that banking apps read."""


@lru_cache(maxsize=256)
def draw_code(transfer: BankTransfer) -> bytes:
    """Return the transfer's code as PNG, "" as bytes where it has none. The same transfer gives the same bytes."""
    if not transfer.code or transfer.code_kind is None:
        return b""
    with IMPORT_LOCK:
        import segno  # noqa: PLC0415 - only those who ask for a code need it
        from PIL import Image  # noqa: PLC0415

    code = segno.make_qr(transfer.code.encode(), error="m", mode="byte", boost_error=False)
    if int(code.version) > _VERSION_MAX[transfer.code_kind]:  # the fields are bounded so that this cannot happen
        raise CodeTooLarge(code.designator)
    rows = code.matrix
    picture = Image.new("1", (len(rows) + 2 * QUIET_ZONE,) * 2, 1)
    for y, row in enumerate(rows):
        for x, is_dark in enumerate(row):
            if is_dark:
                picture.putpixel((x + QUIET_ZONE, y + QUIET_ZONE), 0)
    picture = picture.resize((picture.width * _MODULE_PIXELS,) * 2, Image.Resampling.NEAREST)
    if transfer.code_kind is CodeKind.SWISS:
        _draw_cross(picture, len(rows) * _MODULE_PIXELS)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _draw_cross(picture: Image.Image, code_pixels: int) -> None:
    """Draw the Swiss cross in the middle; the code's error correction makes up for what it hides."""
    side = round(code_pixels * _CROSS_SHARE)
    corner = (picture.width - side) / 2
    with IMPORT_LOCK:
        from PIL import ImageDraw  # noqa: PLC0415

    draw = ImageDraw.Draw(picture)
    draw.rectangle((corner, corner, corner + side, corner + side), fill=1)
    for shares, colour in ((_CROSS_FIELD, 0), *((bar, 1) for bar in _CROSS_BARS)):
        draw.rectangle([corner + share * side for share in shares], fill=colour)
