"""Whether an email that came back was written by a machine: only where it says so itself; otherwise a person wrote it.

Group mailboxes, help desks and relays set ``Precedence``, ``List-Id``, ``Feedback-ID`` and ``X-Auto-Response-Suppress``
on people's messages, and customers write about undelivered goods: none of that shows a machine. RFC 3834, RFC 3464 and
the two headers that came before them do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher

# What programs alone write: the whole subject, or before a colon and the subject it answers ("Automatic reply: Re: …").
_PHRASES = re.compile(
    r"^\s*(?:"
    r"(?:automatic|auto)[ -]?(?:reply|response)|out of (?:the )?office (?:auto-?)?reply"
    r"|automatische (?:antwort|abwesenheitsnotiz)"
    r"|r[ée]ponse automatique|respuesta autom[áa]tica"
    r"|automatisch antwoord|risposta automatica|resposta autom[áa]tica|automatiskt svar|autosvar|automatyczna odpowiedź"
    r"|automated reply|vacation reply|automatische reactie|messaggio automatico|mensagem autom[áa]tica"
    r"|odpowiedź automatyczna|automatická odpov[ěe][ďd]|automatisk svar|automaattinen vastaus|automatikus válasz"
    r"|otomatik yan\u0131t|răspuns automat|resposta automàtica|αυτόματη απάντηση|автоматический ответ"
    r"|自動応答|自動返信|自动答复|自动回复"
    r")\s*(?:[:\uff1a].*)?$"
    # What people write too ("Out of office: pallets never arrived"): only alone, or before a subject that it answers.
    r"|^\s*(?:"
    r"out of (?:the )?office|ooo|abwesenheitsnotiz|abwesenheitsmeldung|message d.absence|absen(?:t|ce) du bureau"
    r"|fuera de (?:la )?oficina|afwezigheids(?:bericht|melding)|afwezig"
    r"|undeliverable|unzustellbar|non remis|no se puede entregar|onbestelbaar|non recapitabile|não é possível entregar"
    r"|fuori (?:ufficio|sede)|assen(?:te|za) dall.ufficio|fora do escritório|aus(?:ente|ência) do escritório"
    r")\s*(?::\s*(?:re|aw|antw|rép|rv|r|res)\s?:.*)?$"
    r"|^\s*(?:"
    r"undelivered mail returned to sender|mail delivery failed: returning message to sender|mail delivery failure"
    r"|delivery status notification \((?:failure|delay)\)|returned mail: see transcript for details|failure notice"
    r")\s*$",
    re.IGNORECASE,
)
# Older than RFC 3834, and set by nothing else
_MACHINE_HEADERS = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-autoreply-from", "x-mail-autoreply")
_AUTO_REPLY_PRECEDENCE = {
    "auto_reply",
    "auto-reply",
    "autoreply",
}  # of responders alone; bulk and list are people's too
_GATEWAY_TAGS = re.compile(r"^\s*(?:\[[^\]\d]{1,20}\]\s*)+")  # "[External]": what receiving servers put before it
_STATED = "its sender's program says so"
_VARYING = re.compile(r"\S*\d\S*")  # ticket numbers, times, dates: what differs between two acknowledgements
NEARLY_THE_SAME = 0.9
_COMPARED_LENGTH = 500  # characters: the comparison takes time by their square


def automatic_reason(headers: Mapping[str, str], subject: str) -> str:
    """Return what shows that a machine wrote an email, in words for people; "" where nothing does.

    Args:
        headers: Its headers, by lower-case name.
        subject: Its decoded subject.

    Source: RFC 3834 section 5 (``Auto-Submitted`` other than ``no``), RFC 3464 (``multipart/report``); older responders
    set ``X-Autoreply`` or ``X-Autorespond`` only.
    """
    auto_submitted = headers.get("auto-submitted", "no").partition(";")[0].partition("(")[0].strip().lower()
    if auto_submitted not in {"", "no"}:
        return _STATED
    stated = next((name for name in _MACHINE_HEADERS if headers.get(name, "no").strip().lower() not in {"", "no"}), "")
    if stated or headers.get("precedence", "").strip().lower() in _AUTO_REPLY_PRECEDENCE:
        return _STATED
    content_type = headers.get("content-type", "").lower()
    if content_type.strip().startswith("multipart/report"):
        return "it is a delivery report"
    return "its subject says so" if _PHRASES.match(_GATEWAY_TAGS.sub("", subject)) else ""


def pattern_of(text: str) -> str:
    """Return a text without what varies from one acknowledgement to the next: case, spaces, words with digits."""
    return " ".join(_VARYING.sub(" ", text.lower()).split())[:1000]


def is_same_acknowledgement(pattern: str, earlier: str) -> bool:
    """Whether two patterns are nearly the same text, as a help desk sends it for each email it gets."""
    if not pattern or not earlier:
        return False
    if pattern == earlier:
        return True
    texts = pattern[:_COMPARED_LENGTH], earlier[:_COMPARED_LENGTH]
    return SequenceMatcher(None, *texts, autojunk=False).ratio() >= NEARLY_THE_SAME
