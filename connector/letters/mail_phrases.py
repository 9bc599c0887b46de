"""Says facts in the words of a language: everything a template is filled with, as plain strings, safe to show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from connector.letters.languages import Language, ordinary_spaces
from connector.letters.mail_facts import InvoiceLine, MailFacts
from connector.letters.mail_layout import phrase, step_words, words
from connector.letters.plain_text import lines, one_line, web_link
from policies.receivables import Step

INTERNAL = frozenset({Step.TELL_OWNER})
NOT_PAYABLE = INTERNAL | {Step.THANK_YOU}
EARLY = frozenset({Step.VERIFY_RECEIPT, Step.DISCOUNT_ENDING, Step.BEFORE_DUE})
NUMBERS_MAX = 3  # invoices named in a sentence
ROWS_MAX = 40  # invoices listed in a mail; the rest is one row
NOTHING = dict.fromkeys(("part", "link", "pay"), "")


class Phrases:
    """The facts of one mail in the words of one language."""

    def __init__(self, facts: MailFacts, language: Language) -> None:
        self.facts = facts
        self.language = language
        self.labels: dict[str, str] = words(language.code)["labels"]
        self.listed = [] if facts.step is Step.THANK_YOU else list(facts.invoices)
        self.about = _spoken_of(facts, self.listed)
        self.values = self._values()

    def everything(self) -> dict[str, Any]:
        """Fill the step's words and hand everything to the layouts."""
        facts, own = self.facts, self.own_lines()
        opening, rows = _paragraphs(own["opening"]), self._rows()
        payable = facts.step not in NOT_PAYABLE
        linked = [row for row in rows if row["link"]]
        return self.values | {
            "language": self.language.code,
            "labels": self.labels,
            "subject": ordinary_spaces(own["subject"]),
            "heading": own["heading"],
            "preview": one_line(opening[0], 120),
            "hello": self._label("hello"),
            "opening": opening,
            "rows": rows,
            "sums": self._sums(),
            "button": {"link": linked[0]["link"], "text": linked[0]["pay"]} if len(rows) == len(linked) == 1 else "",
            "notes": self._notes(linked=bool(linked)),
            "ways_to_pay": self._ways_to_pay() if payable else "",
            "closing": _paragraphs(own["closing"]),
            "bye": self._label("bye"),
            "footer": [self._label("footer_internal" if facts.step in INTERNAL else "footer")],
            "page": self._label("page"),
            "page_link": "" if facts.step in INTERNAL else facts.page_link,
            "stop": self._label("stop"),
            "stop_link": "" if facts.step in INTERNAL else facts.stop_link,
        }

    def own_lines(self) -> dict[str, str]:
        """Fill the lines that are the step's own; what a person wrote for this very mail stands as he wrote it."""
        facts = self.facts
        shipped = {**step_words(self.language.code, facts.step, facts.tone), **facts.words}
        return {name: facts.said.get(name) or self._say(text) for name, text in shipped.items()}

    def _values(self) -> dict[str, str]:
        """Everything the words may name."""
        facts = self.facts
        owed = sum((line.due for line in self.about), Decimal(0))
        off = facts.discount.amount if facts.discount else Decimal(0)
        due_days = [line.due_on for line in self.about if line.due_on]
        numbers = [line.number for line in self.about] or [line.number for line in facts.paid]
        what = self._what([one_line(number, 40) for number in numbers])
        return {
            "company": one_line(facts.company_name),
            "customer": one_line(facts.customer_name),
            "contact": one_line(facts.contact_name, 60),
            "sender": _signature(facts),
            "reply_to": facts.reply_to or facts.sender,
            "many": "yes" if len(numbers) > 1 else "",
            "partly": "yes" if any(line.due < line.total for line in self.about) else "",
            "what": what,
            "What": what[:1].upper() + what[1:],
            "sum": self._money(owed),
            "due_on": self.language.day(min(due_days)) if due_days else "",
            "when_due": self._when_due(due_days),
            "days": self._days_late(),
            "discount": self._money(off),
            "discounted": self._money(owed - off),
            "discount_until": self.language.day(facts.discount.until_on) if facts.discount else "",
            "suspension_on": self.language.day(facts.suspension_on),
            "promised_on": self.language.day(facts.promised_on),
            "parts": str(facts.plan_parts),
            "paid": self._money(sum((line.paid for line in facts.paid), Decimal(0))),
            "credit": self._money(facts.credit),
        }

    def _when_due(self, due_days: Sequence[date]) -> str:
        """Say "on 2 November 2026", or where the days differ, between which they lie."""
        if not due_days:
            return ""
        first, last = self.language.day(min(due_days)), self.language.day(max(due_days))
        return phrase(self.labels["on_day" if first == last else "on_days"], {"due_on": first, "due_last": last})

    def _what(self, numbers: Sequence[str]) -> str:
        """Say "invoice 1042", "invoices 1042 and 1043", "invoices 1042, 1043, 1044 and 5 more"."""
        named = list(numbers[:NUMBERS_MAX])
        if len(numbers) > NUMBERS_MAX:
            named.append(phrase(self.labels["and_more"], {"count": str(len(numbers) - NUMBERS_MAX)}))
        label = "one" if len(numbers) == 1 else "several"
        return phrase(self.labels[label], {"numbers": self.language.listed(named)})

    def _days_late(self) -> str:
        late = [line.days_late for line in self.about]
        if not late:
            return ""
        most = phrase(self.labels["day" if max(late) == 1 else "days"], {"days": str(max(late))})
        return most if len(set(late)) == 1 else phrase(self.labels["up_to"], {"days": most})

    def _rows(self) -> list[dict[str, Any]]:
        """List the invoices, the most overdue first; what is too much for a mail is one row that says how much."""
        ordered = sorted(self.listed, key=lambda line: (-line.days_late, line.number))
        rows = [self._row(line) for line in ordered[:ROWS_MAX]]
        if len(ordered) > ROWS_MAX:
            rest = ordered[ROWS_MAX:]
            text, due = self._label("more_row", count=str(len(rest))), self._money(sum(line.due for line in rest))
            rows.append(
                {"number": text, "due": due, "sentence": f"{text}: {ordinary_spaces(due)}", "lines": [], **NOTHING}
            )
        return rows

    def _row(self, line: InvoiceLine) -> dict[str, Any]:
        day, number = self.language.day, one_line(line.number, 40)
        issued_on, when = day(line.issued_on, short=True), self._when(line)
        row = {
            "number": number,
            "issued_on": issued_on,
            "when": when,
            "due": self._money(line.due),
            "part": self._label("part", total=self._money(line.total)) if line.due != line.total else "",
            "link": web_link(line.pay_link) if self.facts.step not in NOT_PAYABLE else "",
            "pay": self._label("pay", number=number),
        }
        lines_below = [
            {"text": self._label("issued", issued_on=issued_on), "look": "aside"},
            {"text": when, "look": "late" if line.days_late > 0 else "aside"},
        ]
        return row | {"sentence": ordinary_spaces(phrase(self.labels["row"], row)), "lines": lines_below}

    def _when(self, line: InvoiceLine) -> str:
        if line.due_on is None:
            return self._label("no_due_day")
        return self._label("falls_due", due_on=self.language.day(line.due_on, short=True), state=self._state(line))

    def _state(self, line: InvoiceLine) -> str:
        if line.days_late > 0:
            return self._label("day_late" if line.days_late == 1 else "days_late", days=str(line.days_late))
        return self._label("due_soon" if line.days_late < 0 else "due_today")

    def _sums(self) -> list[dict[str, str]]:
        """Add up, where there is more than one invoice: what is overdue, and everything."""
        listed = self.listed
        if len(listed) < 2:
            return []
        overdue = [line.due for line in listed if line.days_late > 0]
        sums = [("sum_open", sum(line.due for line in listed))]
        if overdue and len(overdue) < len(listed):
            sums.insert(0, ("sum_overdue", sum(overdue)))
        return [{"label": self._label(label), "amount": self._money(Decimal(amount))} for label, amount in sums]

    def _notes(self, *, linked: bool) -> list[str]:
        """Say what stands beside the table: how to pay without a link, what is attached, credits, the late fee."""
        facts = self.facts
        if facts.step in NOT_PAYABLE:
            return []
        notes = []
        if not linked and not facts.ways_to_pay and facts.step is not Step.VERIFY_RECEIPT:
            notes.append(self._label("pay_by_bank"))
        if facts.attachments:
            notes.append(self._label("attached", files=str(len(facts.attachments))))
        if facts.statement:
            notes.append(self._label("attached_statement"))
        if facts.credit > 0:
            notes.append(self._label("credit"))
        return notes + ([self._fee()] if facts.fee else [])

    def _ways_to_pay(self) -> str:
        """Give the company's own lines on how to pay; who is asked whether an invoice arrived need not pay yet."""
        said = lines(self.facts.ways_to_pay)
        return f"{self._label('ways_to_pay')}\n{said}" if said and self.facts.step is not Step.VERIFY_RECEIPT else ""

    def _fee(self) -> str:
        fee = self.facts.fee
        if fee is None:
            return ""
        figure = self._money(fee.figure) if fee.kind == "flat" else self.language.number(fee.figure)
        from_on = self.language.day(fee.from_on) if fee.from_on else ""
        words = self._label(f"fee_{fee.kind}", fee=figure, fee_from_on=from_on)
        fixed = " / ".join(self._money(each) for each in fee.fixed)
        return f"{words} {self._label('fee_fixed', fee=fixed)}" if fixed else words

    def _money(self, amount: Decimal | int) -> str:
        return self.language.money(Decimal(amount), self.facts.currency)

    def _say(self, template: str) -> str:
        return phrase(template, self.values)

    def _label(self, label: str, **more: str) -> str:
        return phrase(self.labels[label], {**getattr(self, "values", {}), **more})


def _spoken_of(facts: MailFacts, listed: list[InvoiceLine]) -> list[InvoiceLine]:
    """Pick the invoices the sentences are about: a mail about being late never counts what is not late yet."""
    about = [line for line in listed if line.number in facts.about] or listed
    if facts.step in EARLY:
        return about
    late_enough = [line for line in about if line.days_late > 0]
    if facts.step is Step.DUE_TODAY:
        late_enough = [line for line in about if line.days_late >= 0]
    return late_enough or about


def _signature(facts: MailFacts) -> str:
    """Sign with the sender's name; where it is only the company's, shortened, the company signs alone."""
    company, sender = one_line(facts.company_name), one_line(facts.sender_name)
    return sender if sender and not company.casefold().startswith(sender.casefold()) else company


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split(" ")) for part in text.strip().split("\n\n")]
