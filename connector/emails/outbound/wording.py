"""How an email words its facts in one language: amounts, labels, and invoices by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

from connector.emails.layout import load_texts, render_line
from connector.emails.outbound.email_facts import EmailFacts, InvoiceLine, PaidLine
from connector.languages import Language
from connector.plain_text import in_left_to_right_text, one_line

NUMBERS_MAX = 3  # invoices named in a sentence


class Wording:
    """Words, amounts and names for one email; ``values`` are the placeholders that a step's lines may use."""

    values: Mapping[str, str]

    def __init__(self, facts: EmailFacts, language: Language) -> None:
        self.facts = facts
        self.language = language
        self.texts = load_texts(language.code)
        lines: Sequence[InvoiceLine | PaidLine] = facts.invoices or facts.paid
        counts = Counter(one_line(line.number, 40) for line in lines)
        repeated = {number for number, count in counts.items() if count > 1}
        self.repeated = repeated | {one_line(line.number, 40) for line in lines if line.shares_number}
        self.values = {}

    @property
    def colon(self) -> str:
        """A colon with its spaces, which differ in French."""
        return self.texts.labels["colon"]

    def name_invoices(self, lines: Sequence[InvoiceLine | PaidLine], noun: str) -> str:
        """Return "invoice 1042", "invoices 1042 and 1043" or "invoices 1042, 1043, 1044 and 5 more".

        As an "invoice" it is part of a sentence, with an article in most languages; as a "reference" it stands alone.
        An invoice without a number is named by its date, and so are two with the same number; those of one date have
        their amounts beside it.
        """
        ordered = sorted(lines, key=lambda line: not line.number.strip())  # those with a number come first
        by_date = bool(ordered) and all(not line.number.strip() for line in ordered)
        named = [self.name_one(line, by_date=by_date) for line in ordered]
        counts = Counter(named)
        named = [
            f"{name} ({self.format_money(_shown_amount(line))})" if counts[name] > 1 else name
            for name, line in zip(named[:NUMBERS_MAX], ordered, strict=False)
        ]
        if len(lines) > NUMBERS_MAX:
            named.append(self.text("and_more", count=str(len(lines) - NUMBERS_MAX)))
        numbered = sum(bool(line.number.strip()) for line in lines)  # "invoice 1042 and the one of 21 May"
        is_one = len(lines) == 1 or numbered == 1
        label, joined = f"one_{noun}" if is_one else f"several_{noun}s", self.language.join_items(named)
        return self.text(f"{label}_by_date", dates=joined) if by_date else self.text(label, numbers=joined)

    def name_one(self, line: InvoiceLine | PaidLine, *, by_date: bool = False) -> str:
        """Return an invoice's number, with its date where another has the same; else its date."""
        number, issued_on = one_line(line.number, 40), self.language.format_date(line.issued_on)
        if not number:
            return self.text("date_item" if by_date else "unnumbered_item", issued_on=issued_on)
        return (
            self.text("number_of_date", number=number, issued_on=issued_on)
            if number in self.repeated
            else in_left_to_right_text(number)
        )

    def format_money(self, amount: Decimal) -> str:
        """Format an amount in the email's currency."""
        return self.language.format_money(amount, self.facts.currency)

    def label(self, name: str, **more: str) -> str:
        """Fill a label, which may use the step's placeholders as well."""
        return self.text(name, **{**self.values, **more})

    def text(self, name: str, **values: str) -> str:
        """Fill a label with these values alone."""
        return render_line(self.texts.labels[name], values)


def _shown_amount(line: InvoiceLine | PaidLine) -> Decimal:
    return line.to_pay if isinstance(line, InvoiceLine) else line.paid
