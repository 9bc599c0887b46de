"""How a company's brand looks in an email: its colours, pictures as content ids, signature and footer."""

from __future__ import annotations

from connector.branding import colours
from connector.branding.pictures import Picture
from connector.emails.layout import InlinePicture, LinkedLine, Look
from connector.emails.outbound.email_facts import EmailFacts
from connector.plain_text import one_line
from policies.receivables import Step
from providers.mailer import InlineImage

_DOMAIN = "images.duewell"  # of content ids, which have to look like addresses


def look_of(facts: EmailFacts, signer: str) -> Look:
    """Return the look of an email that ``signer`` signs; an internal one has the colours alone."""
    brand = facts.brand
    accent = brand.accent_colour
    dark_link, dark_button = colours.dark_link(accent), colours.dark_button(accent)
    if facts.step is Step.NOTIFY_OWNER:
        return Look(accent, dark_link, dark_button)
    return Look(
        accent=accent,
        dark_link=dark_link,
        dark_button=dark_button,
        logo=_shown(brand.logo, one_line(facts.company_name)),
        portrait=_shown(_portrait(facts), signer),
        signature=brand.signature.splitlines() if _signs(facts) else (),
        legal_footer=brand.legal_footer.splitlines(),
        links=[LinkedLine(each.text, each.address) for each in brand.links],
    )


def brand_images(facts: EmailFacts) -> tuple[InlineImage, ...]:
    """Return the pictures that the email shows."""
    if facts.step is Step.NOTIFY_OWNER:
        return ()
    pictures = (("logo", facts.brand.logo), ("signer", _portrait(facts)))
    return tuple(
        InlineImage(content_id(picture), f"{name}.{picture.suffix}", picture.content_type, picture.content)
        for name, picture in pictures
        if picture is not None
    )


def content_id(picture: Picture) -> str:
    """Return the content id of a picture: the same in every email that shows exactly this one."""
    return f"{picture.digest}@{_DOMAIN}"


def _portrait(facts: EmailFacts) -> Picture | None:
    return facts.brand.portrait if _signs(facts) else None


def _signs(facts: EmailFacts) -> bool:
    """Return whether the picture and the lines of the signature are those of whoever signs: not an account owner's.

    Where the name only shortens the company's, the company stands there instead, which is nobody else.
    """
    return facts.brand.signer_name in {"", facts.sender_name}


def _shown(picture: Picture | None, text: str) -> InlinePicture | None:
    return None if picture is None else InlinePicture(content_id(picture), text, *picture.shown_size)
