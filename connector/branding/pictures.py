"""Pictures that users upload: checked before they are decoded, then drawn anew, so that only our own bytes travel.

A picture drawn anew has no metadata, no script and no place where it was taken. SVG is not taken: it is a document with
scripts, and Gmail and Outlook show none.
"""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from PIL import Image, ImageChops, ImageCms, ImageOps, UnidentifiedImageError

UPLOAD_BYTES_MAX = 2 * 2**20
SIDE_PIXELS_MAX = 8_000
PIXELS_MAX = 16_000_000  # 64 MB when decoded
LOGO_BOX = (480, 160)  # twice what is shown, for sharp screens
PORTRAIT_SIDE = 112
PICTURE_BYTES_MAX = 60_000
SEEN_DIFFERENCE_MIN = 24  # of 255: what differs less from the white it stands on is not seen
_FORMATS = ("PNG", "JPEG")


class PictureError(Exception):
    """An upload that is no picture we take; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is stored and sent, with its size in pixels."""

    content: bytes
    content_type: str
    width: int
    height: int

    @property
    def digest(self) -> str:
        """A short name for exactly these bytes."""
        return sha256(self.content).hexdigest()[:16]

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height in CSS pixels."""
        return max(1, round(self.width / 2)), max(1, round(self.height / 2))

    @property
    def suffix(self) -> str:
        """The end of its file name."""
        return "png" if self.content_type == "image/png" else "jpg"


def prepare_logo(content: bytes) -> Picture:
    """Return a logo drawn anew as PNG, at most ``LOGO_BOX`` large. Raises ``PictureError``."""
    image = _open(content, LOGO_BOX)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if not _is_seen_on_white(image):
        raise PictureError("This logo cannot be seen: it is white or empty, and emails show it on white.")
    image.thumbnail(LOGO_BOX, Image.Resampling.LANCZOS)
    encoded = _encode(image, "PNG")
    if len(encoded) > PICTURE_BYTES_MAX:
        encoded = _encode(image.quantize(256, method=Image.Quantize.FASTOCTREE), "PNG")
    return Picture(encoded, "image/png", image.width, image.height)


def prepare_portrait(content: bytes) -> Picture:
    """Return the square middle of a picture, drawn anew as JPEG. Raises ``PictureError``."""
    image = _open(content, (PORTRAIT_SIDE * 2, PORTRAIT_SIDE * 2))
    square = ImageOps.fit(_on_white(image), (PORTRAIT_SIDE, PORTRAIT_SIDE), Image.Resampling.LANCZOS)
    return Picture(_encode(square, "JPEG"), "image/jpeg", PORTRAIT_SIDE, PORTRAIT_SIDE)


def _open(content: bytes, wanted: tuple[int, int]) -> Image.Image:
    """Decode a picture whose header says that it is small enough; ``wanted`` lets a JPEG be decoded smaller."""
    if len(content) > UPLOAD_BYTES_MAX:
        raise PictureError(f"The file is larger than {UPLOAD_BYTES_MAX // 2**20} MB.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, refused below, and of odd notes on a camera
            image = Image.open(io.BytesIO(content), formats=_FORMATS)  # reads the header only
            width, height = image.size
            if width * height > PIXELS_MAX or max(width, height) > SIDE_PIXELS_MAX:
                raise PictureError(f"The picture has {width:,} × {height:,} pixels; at most 16 million are taken.")
            image.draft("RGB", wanted)
            image.load()
            return _with_plain_colours(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise PictureError("This is not a PNG or JPEG picture.") from None
    except Image.DecompressionBombError:
        raise PictureError("The picture has far too many pixels; at most 16 million are taken.") from None
    except (OSError, SyntaxError, ValueError):  # what Pillow raises for broken files
        raise PictureError("This picture is damaged, or only part of it arrived.") from None


def _with_plain_colours(image: Image.Image) -> Image.Image:
    """Return a picture in 8 bits and the colours of screens, without the profile that says how else to read them."""
    if image.mode.startswith("I"):  # grey of 16 bits, which Pillow would cut off at 255 instead of scaling it
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        image.info.pop("transparency", None)
    profile = image.info.get("icc_profile")
    if profile and image.mode in {"RGB", "RGBA", "CMYK"}:
        with suppress(ImageCms.PyCMSError, OSError):  # a broken profile changes nothing
            read_as = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = "RGB" if image.mode == "CMYK" else image.mode
            image = ImageCms.profileToProfile(image, read_as, ImageCms.createProfile("sRGB"), outputMode=mode) or image
    image.info.pop("icc_profile", None)
    return image


def _on_white(image: Image.Image) -> Image.Image:
    """Return a picture as it looks where white is behind it."""
    image = image.convert("RGBA")
    plain = Image.new("RGB", image.size, "white")
    plain.paste(image, mask=image.getchannel("A"))
    return plain


def _is_seen_on_white(image: Image.Image) -> bool:
    difference = ImageChops.invert(_on_white(image)).getextrema()
    return max(int(most) for _least, most in difference) >= SEEN_DIFFERENCE_MIN  # type: ignore[misc]


def _encode(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, optimize=True, **({"quality": 85} if kind == "JPEG" else {}))
    return file.getvalue()
