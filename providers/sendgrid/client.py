"""A mail as SendGrid's JSON: the SDK's classes make it, nothing of the SDK sends it. The only file with the SDK.

Its own sending has no timeout, follows redirects with the API key, and takes a cut-off "202" for success.
"""

from __future__ import annotations

import base64
from typing import Any, Final, cast

from sendgrid.helpers import mail as sdk

from providers.mailer import Attachment, Mail

KEY: Final = "duewell_key"
ATTEMPT: Final = "duewell_attempt"  # not "attempt": custom args stand beside the events' own keys, and that is one


def payload(mail: Mail) -> dict[str, Any]:
    """The body of ``POST /v3/mail/send``: one personalization, text before HTML, nothing tracked or rewritten."""
    built = sdk.Mail()
    built.from_email = sdk.From(mail.sender, mail.sender_name or None)
    built.subject = sdk.Subject(mail.subject)
    if mail.reply_to:
        built.reply_to = sdk.ReplyTo(mail.reply_to)
    built.add_personalization(_personalization(mail))
    built.add_content(sdk.Content("text/plain", mail.text))
    built.add_content(sdk.Content("text/html", mail.html))
    built.add_category(sdk.Category(mail.category))
    for attachment in mail.attachments:
        built.add_attachment(_attachment(attachment))
    built.tracking_settings = _no_tracking()
    return cast("dict[str, Any]", built.get())


def _personalization(mail: Mail) -> Any:
    one = sdk.Personalization()
    seen: set[str] = set()
    for address in mail.to:
        if address.casefold() not in seen:  # an address named twice is a 400
            one.add_to(sdk.To(address, mail.to_name if not seen and mail.to_name else None))
            seen.add(address.casefold())
    for name, value in mail.headers:
        one.add_header(sdk.Header(name, value))
    one.add_custom_arg(sdk.CustomArg(KEY, mail.key))
    one.add_custom_arg(sdk.CustomArg(ATTEMPT, str(mail.attempt)))
    return one


def _attachment(attachment: Attachment) -> Any:
    return sdk.Attachment(
        sdk.FileContent(base64.b64encode(attachment.content).decode()),
        sdk.FileName(attachment.filename),
        sdk.FileType(attachment.content_type),
        sdk.Disposition("attachment"),
    )


def _no_tracking() -> Any:
    """Rewritten pay links look like phishing; one click on SendGrid's own unsubscribe stops invoices too."""
    settings = sdk.TrackingSettings()
    settings.click_tracking = sdk.ClickTracking(enable=False, enable_text=False)
    settings.open_tracking = sdk.OpenTracking(enable=False)
    settings.subscription_tracking = sdk.SubscriptionTracking(enable=False)
    return settings
