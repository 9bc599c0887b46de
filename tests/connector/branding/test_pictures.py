"""Uploaded pictures: refused before they are decoded where they are too large or of another kind, else drawn anew."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image, ImageCms

from connector.branding import pictures
from connector.branding.pictures import PictureError, prepare_logo, prepare_portrait


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_that_says(width: int, height: int) -> bytes:
    """Return a few bytes that would become a picture of this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


SQUARE = encode(Image.new("RGB", (50, 50), "navy"), "PNG")
REFUSED = {
    "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "not a PNG or JPEG"),
    "a GIF": (encode(Image.new("P", (9, 9)), "GIF"), "not a PNG or JPEG"),
    "a WebP": (encode(Image.new("RGB", (9, 9)), "WEBP"), "not a PNG or JPEG"),
    "a page": (b"<html>", "not a PNG or JPEG"),
    "many pixels": (png_that_says(5000, 5000), "5,000 × 5,000 pixels"),
    "a very wide one": (png_that_says(20_000, 1), "20,000 × 1 pixels"),
    "a decompression bomb": (png_that_says(60_000, 60_000), "pixels"),
    "half a PNG": (encode(Image.effect_noise((300, 300), 50), "PNG")[:9000], "damaged"),
    "half a JPEG": (encode(Image.effect_noise((300, 300), 50), "JPEG")[:3000], "damaged"),
    "a long text": (
        SQUARE[:33] + chunk(b"zTXt", b"x\0\0" + zlib.compress(b"y" * 80_000_000)) + SQUARE[33:], "damaged"
    ),
    "three megabytes": (SQUARE + b"\0" * 3 * 2**20, "larger than 2 MB"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_small_png_or_jpeg_is_refused_with_its_reason(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content, reason = REFUSED[name]
    if reason.endswith("pixels"):  # before anything is decoded
        monkeypatch.setattr(Image.Image, "load", None)
    for prepare in (prepare_logo, prepare_portrait):
        with pytest.raises(PictureError, match=reason):
            prepare(content)


def test_a_logo_keeps_its_shape_and_what_shines_through_and_nothing_else() -> None:
    large = Image.new("RGBA", (1200, 300), (0, 0, 0, 0))
    large.paste((200, 30, 30, 255), (100, 50, 600, 250))
    notes = Image.Exif()
    notes[0x010E] = "taken at home"
    logo = prepare_logo(encode(large, "PNG", exif=notes))
    drawn = Image.open(io.BytesIO(logo.content))
    assert (logo.width, logo.height) == drawn.size == (480, 120)
    assert logo.shown_size == (240, 60)
    assert drawn.mode == "RGBA"
    assert drawn.getpixel((2, 2))[3] == 0  # type: ignore[index]
    assert b"taken at home" not in logo.content
    assert dict(drawn.getexif()) == {}


def test_a_photograph_becomes_small_and_stands_upright() -> None:
    upright = Image.Exif()
    upright[0x0112] = 6  # turned by 90 degrees, as telephones say it
    photo = Image.effect_noise((1600, 800), 80).convert("RGB")
    photo.paste("red", (0, 0, 800, 800))
    content = encode(photo, "JPEG", exif=upright, quality=60)
    logo, portrait = prepare_logo(content), prepare_portrait(content)
    assert (logo.width, logo.height) == (80, 160)
    assert len(logo.content) <= pictures.PICTURE_BYTES_MAX
    assert (portrait.width, portrait.height, portrait.content_type) == (112, 112, "image/jpeg")
    red, green, _blue = Image.open(io.BytesIO(portrait.content)).getpixel((56, 4))  # type: ignore[misc]
    assert red > 200
    assert green < 60


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "CMYK", "RGBA"])
def test_every_kind_of_pixels_is_taken(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    image = Image.new(mode, (40, 20)) if mode == "I;16" else Image.new("RGB", (40, 20), "navy").convert(mode)
    content = encode(image, kind)
    assert prepare_logo(content).content.startswith(b"\x89PNG")
    assert prepare_portrait(content).content.startswith(b"\xff\xd8")


def test_grey_of_sixteen_bits_keeps_its_shades() -> None:
    image = Image.new("I;16", (300, 100))
    image.putdata([x * 65_535 // 299 for _y in range(100) for x in range(300)])
    content = encode(image, "PNG")
    drawn = Image.open(io.BytesIO(prepare_logo(content).content)).convert("L")
    assert [round(int(drawn.getpixel((x, 50))) / 64) for x in (0, 75, 150, 225)] == [0, 1, 2, 3]  # type: ignore[arg-type]
    assert prepare_portrait(content).content != prepare_portrait(encode(Image.new("L", (300, 100), 255), "PNG")).content


def test_a_colour_profile_is_applied_and_does_not_travel() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))  # of another kind: it changes nothing
    broken = encode(Image.new("RGB", (300, 100), "teal"), "PNG", icc_profile=profile.tobytes() + b"s" * 500_000)
    for content in (broken, encode(Image.new("RGB", (300, 100), "teal"), "PNG", icc_profile=b"none")):
        logo = Image.open(io.BytesIO(prepare_logo(content).content))
        assert "icc_profile" not in logo.info
        assert logo.convert("RGB").getpixel((5, 5)) == (0, 128, 128)
    swapped = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    swapped[:] = swapped.replace(b"rXYZ", b"none").replace(b"gXYZ", b"rXYZ").replace(b"none", b"gXYZ")
    content = encode(Image.new("RGB", (300, 100), (200, 30, 30)), "PNG", icc_profile=bytes(swapped))
    red, green, _blue = Image.open(io.BytesIO(prepare_logo(content).content)).getpixel((5, 5))  # type: ignore[misc]
    assert green > red


@pytest.mark.parametrize("shown", ["white on nothing", "nothing", "white"])
def test_a_logo_that_cannot_be_seen_on_white_is_refused(shown: str) -> None:
    image = Image.new("RGBA", (300, 100), "white" if shown == "white" else (0, 0, 0, 0))
    if shown == "white on nothing":
        image.paste((255, 255, 255, 255), (50, 20, 200, 80))
    with pytest.raises(PictureError, match="cannot be seen"):
        prepare_logo(encode(image, "PNG"))
    image.paste((120, 120, 120, 255), (60, 30, 70, 40))
    assert prepare_logo(encode(image, "PNG")).width == 300
