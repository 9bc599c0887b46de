"""Builds an email as SendGrid's JSON, with the SDK's classes. The only module that uses the SDK.

The SDK never sends: its transport has no timeout, follows redirects with the API key, and takes a truncated "202" for
success.
"""

from __future__ import annotations

import base64
from typing import Any, cast

from sendgrid.helpers import mail as sdk

from providers.mailer import Attachment, Email, InlineImage
from providers.sendgrid.custom_args import ATTEMPT_ARG, KEY_ARG


def build_payload(email: Email) -> dict[str, Any]:
    """Return the body of ``POST /v3/mail/send``: one personalization, text before HTML, tracked only if wanted."""
    built = sdk.Mail()
    built.from_email = sdk.From(email.sender, email.sender_name or None)
    built.subject = sdk.Subject(email.subject)
    if email.reply_to:
        built.reply_to = sdk.ReplyTo(email.reply_to)
    built.add_personalization(_personalization(email))
    built.add_content(sdk.Content("text/plain", email.text))
    built.add_content(sdk.Content("text/html", email.html))
    built.add_category(sdk.Category(email.category))
    for attachment in email.attachments:
        built.add_attachment(_attachment(attachment))
    for image in email.inline:
        built.add_attachment(_attachment(image, sdk.Disposition("inline"), sdk.ContentId(image.content_id)))
    built.tracking_settings = _tracking(email)
    return cast("dict[str, Any]", built.get())


def _personalization(email: Email) -> Any:
    personalization = sdk.Personalization()
    seen: set[str] = set()
    for address in email.to:
        if address.casefold() not in seen:  # SendGrid rejects a repeated address
            personalization.add_to(sdk.To(address, email.to_name if not seen and email.to_name else None))
            seen.add(address.casefold())
    for addresses, build, add in (
        (email.cc, sdk.Cc, personalization.add_cc),
        (email.bcc, sdk.Bcc, personalization.add_bcc),
    ):
        for address in addresses:
            if address.casefold() not in seen:
                add(build(address))
                seen.add(address.casefold())
    for name, value in email.headers:
        personalization.add_header(sdk.Header(name, value))
    personalization.add_custom_arg(sdk.CustomArg(KEY_ARG, email.key))
    personalization.add_custom_arg(sdk.CustomArg(ATTEMPT_ARG, str(email.attempt)))
    return personalization


def _attachment(attachment: Attachment | InlineImage, disposition: Any = None, content_id: Any = None) -> Any:
    return sdk.Attachment(
        sdk.FileContent(base64.b64encode(attachment.content).decode()),
        sdk.FileName(attachment.filename),
        sdk.FileType(attachment.content_type),
        disposition or sdk.Disposition("attachment"),
        content_id,
    )


def _tracking(email: Email) -> Any:
    """Return each kind of tracking, on or off: what is left out follows the account's own settings.

    It is off unless a company wants it: rewritten payment links look like phishing. SendGrid's unsubscribe, which would
    stop invoices, is never on, nor are links in plain text rewritten.
    """
    settings = sdk.TrackingSettings()
    settings.click_tracking = sdk.ClickTracking(enable=email.track_clicks, enable_text=False)
    settings.open_tracking = sdk.OpenTracking(enable=email.track_opens)
    settings.subscription_tracking = sdk.SubscriptionTracking(enable=False)
    return settings
