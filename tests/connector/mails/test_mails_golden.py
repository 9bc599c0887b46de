"""Every mail in every tone and language, as it leaves, beside what it was when a person last read it.

After a change of words or layout, write the files anew and read the difference before it is committed:
``WRITE_GOLDEN=1 make unit PYTEST_ARGS=tests/connector/mails``
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from connector.letters.languages import LANGUAGES
from connector.letters.mails import MAILED, TONES, MailFacts, compose

GOLDEN = Path(__file__).parents[1] / "golden"
WRITE = bool(os.environ.get("WRITE_GOLDEN"))


def check(name: str, now: str) -> None:
    path = GOLDEN / name
    if WRITE:
        path.write_text(now, encoding="utf-8")
    assert path.is_file(), f"{path} is missing: write it as the docstring says"
    assert now == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_mail_reads_as_it_was_last_approved(
    language: str, tone: str, facts_for: Callable[..., MailFacts]
) -> None:
    mails = [compose(facts_for(step, language=language, tone=tone)) for step in MAILED]
    check(
        f"{language}-{tone}.txt",
        "".join(f"===== {mail.category}\nSubject: {mail.subject}\n\n{mail.text}\n" for mail in mails),
    )


@pytest.mark.parametrize("step", MAILED)
def test_every_mail_looks_as_it_was_last_approved(step: str, facts_for: Callable[..., MailFacts]) -> None:
    mail = compose(facts_for(step))
    headers = "".join(f"<!-- {name}: {value} -->\n" for name, value in mail.headers)
    check(f"{step}.html", f"{headers}{mail.html}\n")
