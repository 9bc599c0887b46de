"""The writer's own text in a reply: without the email it answers, wherever their program put it.

Measured on ``tests/connector/emails/inbound/replies.toml``, 69 replies in the shapes of Gmail, Outlook, Apple Mail,
Thunderbird, Yahoo, phones and ticket desks, in four languages: this gets all of them right, mail-parser-reply
1.36 gets 35 right and email-reply-parser 0.5.12 gets 34. Those added since are not in the comparison. A line is kept
unless it is certainly quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from connector.emails.inbound.shared_domains import SHARED_DOMAINS

_LANGUAGE_VERBS = r"(?:wrote|a écrit|escribió|ha scritto|schreef|het volgende geschreven|escreveu)"
# "On Tue, 9 Jun 2026 at 10:12, Name <address> wrote:": the verb ends it, or in German stands before the name …
_ATTRIBUTION = re.compile(
    rf"^(?:on|le|el|il|op|em|no dia|às)\b.{{6,400}}\b{_LANGUAGE_VERBS}\s?:$"
    r"|^am\b.{6,200}\bschrieb\b.{2,200}:$|^am\b.{6,400}\bgeschrieben:$|^op\b.{6,200}\bschreef\b.{2,200}:$",
    re.IGNORECASE,
)
# … after a full date, as every program gives it; people write "On Monday at 10:30 your driver wrote:".
_DATED = re.compile(r"^\w+\b.{0,40}?(?:\b(?:19|20)\d\d\b|\b\d{1,2}[./-]\d{1,2}[./-]\d\d\b)")
_NAMED_ADDRESS = re.compile(r"<[^\s<>@]+@[^\s<>@]+>")
_VERB_AT_END = re.compile(
    rf"(?:{_LANGUAGE_VERBS}|schrieb|skrev|pisze|kirjoitti|a scris|napisał(?:\(a\))?|napsal(?:\(a\)|a)?)\s?:$",
    re.IGNORECASE,
)
_FULL_DATE = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")  # also as 2026年6月9日
_MOMENT = re.compile(r"\d{1,2}[:h.]\d{2}(?!\d)")
_ADDRESS = re.compile(r"\S+@\S+")
# Programs name a sender; they speak neither of themselves nor of "your driver". Capitals count: "The Book People Ltd".
_PERSONS_WORDS = re.compile(
    r"\b(?:I|[Ww]e|my|our|your|me|us|you|he|she|they|his|her|their|the|back"
    r"|[Ii]ch|[Ww]ir|mir|mich|uns|unser\w{0,2}|[Ii]hr\w{0,2}|Ihnen|[Ss]ie|er|mein\w{0,2}|eue?re?|der|die|das|eine?"
    r"|[Jj]e|[Jj]['’]ai|nous|vous|m['’]a|[nv]otre|[nv]os|mon|ma|mes|ils?|elles?|son|ses|une?"
    r"|yo|me|nos|les?|mis?|sus?|tus?|nuestr[oa]s?|vuestr[oa]s?|ella|una?|escribí|escribimos"
    r"|(?<!de )(?<!a )(?:le|la(?! \d)|el)"
    r"|ik|wij|ons|onze|mijn|uw|jullie|haar|zijn|een|het(?! volgende geschreven)"
    r"|noi|voi|ci|mi|lui|lei|mi[oa]|miei|nostr[oaie]|vostr[oaie]|suoi|il|lo|gli|uno"
    r"|eu|nós|lhe|meus?|minhas?|noss[oa]s?|voss[oa]s?|seus?|ele|o(?! \d))\b"
)
# Programs that put the name before the date, or leave the year out.
_NAME_FIRST = re.compile(
    r"^.{2,100}<[^\s<>@]+@[^\s<>@]+>\)?\s+schrieb am .{4,24}\b(?:19|20)\d\d\b.{0,8}\d{1,2}:\d{2}(?: uhr)?:$"
    r"|^.{2,100}<[^\s<>@]+@[^\s<>@]+>\s+escreveu (?:no dia |\().{4,30}\b(?:19|20)\d\d\b.{0,8}\d{1,2}:\d{2}\)?\s?:$"
    r"|^on \w{3}, \d{1,2} \w{3} at \d{1,2}:\d{2} [ap]m\s?,\s.{2,100}<[^\s<>@]+@[^\s<>@]+>\s+wrote:$",
    re.IGNORECASE,
)
_ATTRIBUTION_LINES_MAX = 3  # programs break it where a line gets long
_ATTRIBUTION_LENGTH_MAX = 1000  # a sender's name and address, twice; a longer line would take long to search
_SPACE_MAX = 3  # lines below it in which what it introduces begins

_HEADER = re.compile(
    r"^\*?(?:(?P<sender>from|von|de|van|da|från|fra|od|lähettäjä)"
    r"|(?P<date>sent|gesendet|envoyé|enviad[oa](?: el| em)?|verzonden|inviato|date|datum|fecha|data"
    r"|skickat|sendt|dato|wysłan[eo]|odesláno|lähetetty|päivämäärä)"
    r"|(?P<other>to|an|à|para|aan|a|cc|cci|bcc|cco|importance|wichtigkeit|priorität|importancia|urgentie|belang|priorità|importância"
    r"|till|til|kopi[aeo]?|do|dw|komu|vastaanottaja|prioritet|ważność|důležitost|tärkeys)"
    r"|(?P<subject>subject|betreff|objet|asunto|onderwerp|oggetto|assunto|ämne|emne|temat|předmět|aihe))\s?:\*?(?:\s|$)",
    re.IGNORECASE,
)
_HEADERS_MAX = 12  # lines of it that are read
_CONTINUED_ADDRESSES = re.compile(r"^(?:[^<>;:]{0,80}<[^\s<>@]+@[^\s<>@]+>;?)+$")  # of a long list of recipients
_HEADERS_MIN = 3  # lines that together are the head of a quoted email
_RULE = re.compile(r"^[_*=-]{5,}$")
_MARKED_RULE = re.compile(
    r"^[-_*]{2,}\s*(?:original message|forwarded message|ursprüngliche nachricht|originalnachricht"
    r"|weitergeleitete nachricht|message d.origine|message original|message transféré|mensaje original"
    r"|mensaje reenviado|oorspronkelijk bericht|doorgestuurd bericht|messaggio originale|messaggio inoltrato"
    r"|mensagem original|mensagem (?:re)?encaminhada|ursprungligt meddelande|oprindelig meddelelse"
    r"|opprinnelig melding|wiadomość oryginalna|oryginalna wiadomość|původní zpráva|alkuperäinen viesti"
    r")\s*[-_*]{2,}$",
    re.IGNORECASE,
)
_REPLY_ABOVE = re.compile(
    r"\b(?:reply|respond|write|type|antwort\w*|schreiben|répon\w+|écri\w+|respon\w+|escrib\w+|typ|schrijf"
    r"|rispond\w+|digit\w+|scriv\w+|escrev\w+)\b.{0,40}\b(?:above|au-dessus de|encima de|boven|sopra|acima)\b.{0,20}"
    r"\b(?:line|ligne|línea|regel|lijn|riga|linea|linha)\b"
    r"|\büber\b.{0,20}\bzeile\b.{0,40}\b(?:antwort\w*|schreiben)\b|\b(?:antwort\w*|schreiben)\b.{0,40}\büber\b.{0,20}\bzeile\b",
    re.IGNORECASE,
)
_APP_SIGNATURE = re.compile(
    r"^(?:sent from (?:outlook|mail|yahoo)\b.*"
    r"|sent from my (?:\S+ ){0,3}(?:device|i(?:phone|pad|pod)|phone|smartphone|mobile|tablet|blackberry|galaxy|android"
    r"|pixel|huawei)\b.*"
    r"|sent with \[?proton mail\b.*|get outlook for (?:ios|android|mac)\b.*"
    r"|(?:gesendet )?von mein\S+ .{2,40} gesendet|outlook für (?:ios|android)(?:<\S+>)? (?:herunterladen|beziehen)\b.*"
    r"|holen sie sich outlook für (?:ios|android|mac)\b.*"
    r"|envoyé (?:de|depuis) mon .{2,40}|(?:obtenir|télécharger) outlook pour .*"
    r"|enviado desde mi .{2,40}|obtener outlook para .*"
    r"|ver(?:stuurd|zonden) vanaf mijn .{2,40}|verzonden vanuit outlook\b.*"
    r"|outlook voor (?:ios|android|mac)(?:<\S+>)? downloaden\b.*"
    r"|(?:down)?load(?:en)? outlook voor (?:ios|android|mac)\b.*"
    r"|inviato da(?:l mio)? (?:i(?:phone|pad)|outlook|yahoo|dispositivo|smartphone|cellulare|galaxy|android)\b.*"
    r"|(?:scarica|ottieni) outlook per .*"
    r"|enviado (?:do|a partir do) meu .{2,40}|enviado do outlook\b.*|obt(?:er o|enha o) outlook para .*)$",
    re.IGNORECASE,
)
_INVISIBLE = re.compile("[\u200b\u2060\ufeff]")
_UNSUBSCRIBE_LINE = re.compile(r"^(?:\S+\s+){0,8}<?https?://\S+/stop/\S+>?$")
_OUR_LINK = re.compile(r"https?://\S+/stop/\S+")  # the last line of our emails
_POINTS_BELOW = re.compile(
    r"\b(?:below|beneath|in-?line|in (?:red|blue|green|bold|capitals)|unten|unterhalb|in (?:rot|blau|grün|fett)"
    r"|ci-dessous|plus bas|en (?:rouge|bleu|vert|gras|majuscules)|abajo|debajo"
    r"|en (?:rojo|azul|verde|negrita|mayúsculas)"
    r"|hieronder|onderaan|in (?:het )?(?:rood|blauw|groen|vet|hoofdletters)"
    r"|qui sotto|di seguito|in (?:rosso|blu|verde|grassetto|maiuscolo)"
    r"|abaixo|em (?:vermelho|azul|verde|negrito|maiúsculas))\b",
    re.IGNORECASE,
)
_MARKED_ANSWER = re.compile(r"^\[[^\]\d][^\]]{1,40}\]")  # "[Jo Vale] we owe 900": answers inside a quote without marks


def own_text(text: str, sender: str = "") -> str:
    """Return what the writer wrote, in their order, without quoted lines, heads of emails and app signatures.

    Args:
        text: The plain text of a reply.
        sender: Who sent it: what a colleague of theirs wrote, and they pass on, is kept as well.

    Returns:
        Their own lines; the whole text where nothing else is left, so that nothing is ever lost.
    """
    lines = [line.rstrip() for line in _INVISIBLE.sub("", text).replace("\xa0", " ").splitlines()]
    lines = _without_desk_marker(lines)
    own = [
        line for line in _own_lines(lines, sender) if not _APP_SIGNATURE.match(line.strip()) and not _is_our_link(line)
    ]
    return "\n".join(own).strip() or text.strip()


def _own_lines(lines: Sequence[str], sender: str = "") -> Iterator[str]:
    at, last_quoted = 0, max((k for k, each in enumerate(lines) if each.lstrip().startswith(">")), default=-1)
    points_below = False
    while at < len(lines):
        line = lines[at].strip()
        if line.startswith(">"):
            at += 1
        elif (taken := _attribution_at(lines, at)) and _names_colleague(" ".join(lines[at : at + taken]), sender):
            yield from lines[at : at + taken]
            passed_on = _unmarked_lines(lines, at + taken)
            yield from _own_lines(passed_on, sender)
            at += taken + len(passed_on)
        elif taken:
            at += taken
            if at > last_quoted:
                yield from _answers_in(lines[at:], points_below=points_below)
                return
        elif _is_quoted_head(lines, at) and (length := _colleagues_head_length(lines, at, sender)):
            yield from lines[at : at + length]
            at += length
        elif _is_quoted_head(lines, at):
            yield from _answers_in(lines[at:], points_below=points_below)
            return
        else:
            points_below = points_below or bool(_POINTS_BELOW.search(line))
            yield lines[at]
            at += 1


def _attribution_at(lines: Sequence[str], at: int) -> int:
    """Return over how many lines an attribution goes that begins here, 0 where none does."""
    for count in range(1, _ATTRIBUTION_LINES_MAX + 1):
        part = lines[at : at + count]
        below = next((line for line in lines[at + count : at + count + _SPACE_MAX] if line.strip()), "")
        if _is_attribution(part, below):
            # A sentence that begins alike ("Le chauffeur est venu.") may stand right above it.
            return 0 if any(_is_attribution(part[k:], below) for k in range(1, count)) else count
        if len(part) < count or not part[-1].strip():
            return 0
    return 0


def _is_attribution(part: Sequence[str], below: str) -> bool:
    """Whether a program wrote these lines above a quoted email; ``below`` is what follows.

    Unless that is clear, a person did. A sender without an address is certain only above lines marked as quoted.
    """
    line = " ".join(each.strip() for each in part)
    if len(line) > _ATTRIBUTION_LENGTH_MAX:
        return False
    if _NAME_FIRST.match(line):
        return True
    if _is_marked_in_any_language(line, below):
        return True
    if not (_ATTRIBUTION.match(line) and _DATED.match(line)):
        return False
    _first, _, rest = _ADDRESS.sub("@", line).partition(" ")
    is_marked = _MOMENT.search(rest) and below.lstrip().startswith(">")
    return bool("@" in rest or is_marked) and not _PERSONS_WORDS.search(rest)


def _is_marked_in_any_language(line: str, below: str) -> bool:
    """Whether a line with two of sender, moment and verb stands right above lines that are marked as quoted."""
    if not (line.endswith((":", "\uff1a")) and below.lstrip().startswith(">")) or _PERSONS_WORDS.search(
        _ADDRESS.sub("@", line)
    ):
        return False
    is_dated = _FULL_DATE.search(line) and _MOMENT.search(line)
    return sum(map(bool, (is_dated, _NAMED_ADDRESS.search(line), _VERB_AT_END.search(line)))) > 1


def _is_quoted_head(lines: Sequence[str], at: int) -> bool:
    """Whether a quoted email begins here: header lines, with or without a rule above them, or a rule that says so."""
    line = lines[at].strip()
    if _MARKED_RULE.match(line):
        return True
    first = next((k for k in range(at + 1, len(lines)) if lines[k].strip()), at) if _RULE.match(line) else at
    block = list(_header_lines(lines[first : first + _HEADERS_MAX]))
    kinds = {match.lastgroup for match in block}
    names_email = "date" in kinds or any("@" in match.string for match in block)  # else people list something of theirs
    return len(block) >= _HEADERS_MIN and {"sender", "subject"} <= kinds and names_email


def _colleagues_head_length(lines: Sequence[str], at: int, sender: str) -> int:
    """Return over how many lines the head of an email from a colleague of the sender goes, 0 where it is not one's."""
    first = next((k for k in range(at, len(lines)) if _HEADER.match(lines[k].strip())), at)
    block = list(_header_lines(lines[first : first + _HEADERS_MAX]))
    from_line = next((match.string for match in block if match.lastgroup == "sender"), "")
    return first - at + len(block) if _names_colleague(from_line, sender) else 0


def _names_colleague(line: str, sender: str) -> bool:
    """Whether a line names a colleague of the sender; their own earlier email was read when it came."""
    _name, _, domain = sender.lower().rpartition("@")
    if not domain or domain in SHARED_DOMAINS or sender.lower() in line.lower():
        return False
    return re.search(rf"@{re.escape(domain)}(?![\w.-])", line.lower()) is not None


def _unmarked_lines(lines: Sequence[str], at: int) -> list[str]:
    """Return the marked lines that begin here, or below a space, without their mark."""
    end = at
    while end < len(lines) and (not lines[end].strip() or lines[end].lstrip().startswith(">")):
        end += 1
    return [line.lstrip().removeprefix(">").removeprefix(" ") for line in lines[at:end]]


def _header_lines(lines: Sequence[str]) -> Iterator[re.Match[str]]:
    """Yield the header lines that these lines begin with; one that goes on with an address on the next is one."""
    for at, line in enumerate(lines):
        match = _HEADER.match(line.strip())
        if match is not None:
            yield match
        elif not (at and _CONTINUED_ADDRESSES.match(line.strip())):
            return


def _answers_in(quoted: Sequence[str], *, points_below: bool) -> Iterator[str]:
    """Yield the writer's own lines in an email that is quoted without marks.

    These are what their program marked, and what stands below the link that our emails end with. Where they point at
    answers below and none is found, all of it is kept.
    """
    end = max((k + 1 for k, line in enumerate(quoted) if _OUR_LINK.search(line)), default=len(quoted))
    answers = [line.strip() for line in quoted[:end] if _MARKED_ANSWER.match(line.strip())]
    answers += _own_lines(quoted[end:])
    if points_below and not any(answers):
        answers = list(quoted)
    if any(answers):
        yield ""
        yield from answers


def _without_desk_marker(lines: list[str]) -> list[str]:
    """Cut at a ticket desk's "reply above this line"; where nothing stands above it, it is the desk's own heading."""
    for at, line in enumerate(lines):
        if re.search(r"[-#]{2,}", line) and _REPLY_ABOVE.search(line):
            return lines[:at] if any(each.strip() for each in lines[:at]) else lines[at + 1 :]
    return lines


def _is_our_link(line: str) -> bool:
    return bool(_UNSUBSCRIBE_LINE.match(line.strip()))
