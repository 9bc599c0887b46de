"""The writer's own text is found in replies of every email program and language, and nothing of it is lost."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest

from connector.emails.inbound.quoted_text import own_text
from connector.languages import LANGUAGES

REPLIES = tomllib.loads(Path(__file__).with_name("replies.toml").read_text(encoding="utf-8"))["reply"]


def spaced(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: f"{reply['client']} {reply['language']}: {reply['shape']}")
def test_a_reply_keeps_exactly_what_its_writer_wrote(reply: dict[str, str]) -> None:
    assert spaced(own_text(reply["text"], reply.get("sender", ""))) == spaced(reply["own"])


@pytest.mark.parametrize("line", ["<a@" * 8000 + ":", "<a@" * 300 + ":", "Jo <" + "a" * 9000 + "@b> schrieb am :"])
def test_a_line_made_to_take_long_takes_no_time(line: str) -> None:
    started = time.process_time()
    own_text(f"Paid.\n{line}\n> x\n" * 5, "jo@larkspur.example")
    assert time.process_time() - started < 1


OWN_HEADINGS = {
    "en": "On Monday at 10:30 your driver wrote:",
    "en, dated": "On 8 June 2026 at 10:30 your driver Jo <jo@larkspur.example> wrote:",
    "en, no name": "On 8 June 2026 at 10:30 the driver wrote:",
    "en, no year": "On June 8th at 10:30 jo@larkspur.example wrote:",
    "en, about an order": "On our order of 8 June 2026 (10:30) jo@larkspur.example wrote:",
    "de": "Am Montag um 10:30 schrieb Ihr Fahrer:",
    "de, dated": "Am 8. Juni 2026 um 10:30 schrieb mir Ihr Kollege jo@larkspur.example:",
    "de, perfect": "Am 8.6.2026 um 10:30 hat uns Herr Vale <jo@larkspur.example> geschrieben:",
    "fr": "Le lundi 8 juin à 10:30 votre chauffeur a écrit :",
    "fr, dated": "Le 8 juin 2026 à 10:30 votre collègue jo@larkspur.example m'a écrit :",
    "fr, no name": "Le 8 juin 2026 à 10:30, le chauffeur a écrit :",
    "es": "El lunes a las 10:30 su conductor escribió:",
    "es, dated": "El 8 de junio de 2026 a las 10:30 su colega jo@larkspur.example me escribió:",
    "nl": "Op maandag om 10:30 schreef uw chauffeur:",
    "nl, dated": "Op 8 juni 2026 om 10:30 heeft uw collega jo@larkspur.example het volgende geschreven:",
    "nl, article": "Op 8 juni 2026 om 10:30 schreef onze chauffeur <jo@larkspur.example>:",
    "it": "Il lunedì alle 10:30 il vostro autista ha scritto:",
    "it, dated": "Il 8 giugno 2026 alle 10:30 la vostra collega jo@larkspur.example ci ha scritto:",
    "pt": "Na segunda-feira às 10:30 o seu motorista escreveu:",
    "pt, dated": "Em 8 de junho de 2026 às 10:30 o vosso colega jo@larkspur.example escreveu:",
    "es, no name": "El 8/6/2026 a las 10:30 el conductor escribió:",
}


@pytest.mark.parametrize("heading", OWN_HEADINGS.values(), ids=OWN_HEADINGS)
@pytest.mark.parametrize("greeting", ["", "Hello,\n", "Hello,\n\n"], ids=["bare", "greeting", "greeting and space"])
def test_what_a_customer_tells_of_somebodys_words_is_their_own(heading: str, greeting: str) -> None:
    own = f"{greeting}{heading}\n2 pallets missing"
    assert own_text(own) == own
    assert own_text(f"{own}\n\nOn Tue, 9 Jun 2026 at 10:12, Larkspur Ltd <a@larkspur.example> wrote:\n\n> Dear") == own


@pytest.mark.parametrize(
    ("sentence", "attribution"),
    [
        ("On the pallets: two are missing.", "On Tue, 9 Jun 2026 at 10:12, Larkspur Ltd <a@larkspur.example> wrote:"),
        ("Am Montag bezahlt.", "Am Di., 9. Juni 2026 um 10:12 Uhr schrieb Larkspur Ltd <a@larkspur.example>:"),
        ("Am Montag bezahlt.", "Am 09.06.26 um 10:12 schrieb Larkspur Ltd:"),
        ("Le chauffeur est venu.", "Le mar. 9 juin 2026 à 10:12, Larkspur Ltd <a@larkspur.example> a écrit :"),
        ("Op maandag betaald.", "Op di 9 jun 2026 om 10:12 schreef Larkspur Ltd <a@larkspur.example>:"),
        ("Il bonifico parte domani.", "Il 09/06/2026 10:12, Larkspur Ltd ha scritto:"),
        ("No dia 15 pagamos.", "No dia 09/06/2026, às 10:12, Larkspur Ltd <a@larkspur.example> escreveu:"),
        ("El pago salió ayer.", "El mar, 9 jun 2026 a las 10:12, Larkspur Ltd (<a@larkspur.example>) escribió:"),
    ],
)
def test_a_sentence_right_above_the_attribution_is_kept(sentence: str, attribution: str) -> None:
    assert own_text(f"Hello\n{sentence}\n{attribution}\n\n> Dear Ms Vale") == f"Hello\n{sentence}"


UNMARKED = """Dear Ms Vale,

Invoice INV-1042 for GBP 1,200.00 was due on 4 June 2026.

--
Stop these reminders: https://books.larkspur.example/stop/q7mzk3
"""
HEADS = {
    "attribution": "On Tuesday, 9 June 2026 at 10:12:33 BST, Larkspur Ltd <a@larkspur.example> wrote:\n",
    "header block": "From: Larkspur <a@larkspur.example>\nSent: 9 June 2026 10:12\nTo: Jo Vale\nSubject: INV-1042\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("above", ["", "Hello,\n\n"], ids=["alone", "under a greeting"])
def test_what_stands_below_an_unmarked_email_of_ours_is_kept(above: str, head: str) -> None:
    own = "Two pallets are missing.\nWe pay the rest.\n\nJo Vale"
    assert spaced(own_text(f"{above}{head}\n{UNMARKED}\n{own}")) == spaced(f"{above}{own}")
    older = f"{above}{head}\nPlease see our answer.\n\n{head}\n{UNMARKED}"
    assert spaced(own_text(older)) in {spaced(above), spaced(older)}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize(
    "above",
    [
        "My answers are below.",
        "See in red.",
        "Meine Anmerkungen stehen unten.",
        "Antworten in rot:",
        "Mes réponses ci-dessous.",
        "Voir en rouge",
        "Mis respuestas más abajo.",
        "Respondo en mayúsculas",
        "Mijn opmerkingen staan hieronder.",
        "Le mie risposte di seguito:",
        "As minhas respostas abaixo.",
    ],
)
def test_where_a_writer_points_below_nothing_of_an_unmarked_email_is_cut(above: str, head: str) -> None:
    quoted = UNMARKED.replace("2026.", "2026.\nNO, WE PAID THAT ON 2 JUNE.")
    kept = own_text(f"{above}\n\n{head}\n{quoted}")
    assert kept.startswith(above)
    assert "NO, WE PAID THAT ON 2 JUNE." in kept


@pytest.mark.parametrize("name", ["The Book People Ltd", "Your Move Ltd", "Les Halles de la Tour SARL"])
def test_a_senders_name_may_be_such_a_word(name: str) -> None:
    quoted = f"On Tuesday, 9 June 2026 at 10:12:33 BST, {name} <my@our.example> wrote:\n\nDear Ms Vale"
    assert own_text(f"Paid on Friday.\n\n{quoted}") == "Paid on Friday."


def test_there_are_enough_replies_in_each_language() -> None:
    assert len(REPLIES) >= 60
    for language in LANGUAGES:
        assert sum(reply["language"] == language for reply in REPLIES) >= 8


@pytest.mark.parametrize(
    "text",
    [
        "> Dear Ms Vale,\n> Invoice INV-1042 was due on 4 June 2026.",
        "On Tue, 9 Jun 2026 at 10:12, Larkspur <accounts@larkspur.example> wrote:",
        "Sent from my iPhone",
    ],
)
def test_where_nothing_of_their_own_is_found_everything_is_kept(text: str) -> None:
    assert own_text(text) == text


def test_parsing_is_fast_for_a_text_of_any_shape() -> None:
    lines = ["On " + "x" * 380, "From: a", "____", "> quoted", "wrote:", "To: b", "<a@b>, " * 40 + "x"] * 2000
    assert own_text("\n".join(lines))
    assert own_text("Paid." + "\n" * 200_000) == "Paid."
