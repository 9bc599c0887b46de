"""Says facts in the words of a language: everything a template is filled with, as plain strings, safe to show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from connector.emails.layout import load_step_lines, load_texts, render_line
from connector.emails.outbound.email_facts import EmailFacts, InvoiceLine
from connector.languages import Language, replace_nbsp
from connector.plain_text import clean_lines, one_line, safe_link
from policies.receivables import Step

INTERNAL_STEPS = frozenset({Step.NOTIFY_OWNER})
NON_PAYMENT_STEPS = INTERNAL_STEPS | {Step.THANK_YOU}
BEFORE_DUE_STEPS = frozenset({Step.RECEIPT_CHECK, Step.DISCOUNT_ENDING, Step.BEFORE_DUE})
NUMBERS_MAX = 3  # invoices named in a sentence
ROWS_MAX = 40  # invoices listed in a mail; the rest is one row
EMPTY_CELLS = dict.fromkeys(("of_total", "link", "pay_label"), "")


class EmailTexts:
    """The facts of one mail in the words of one language."""

    def __init__(self, facts: EmailFacts, language: Language) -> None:
        self.facts = facts
        self.language = language
        self.labels: dict[str, str] = load_texts(language.code)["labels"]
        self.listed = [] if facts.step is Step.THANK_YOU else list(facts.invoices)
        self.about = _relevant_invoices(facts, self.listed)
        self.values = self._placeholder_values()

    def layout_values(self) -> dict[str, Any]:
        """Fill the step's words and hand everything to the layouts."""
        facts, own = self.facts, self.step_lines()
        opening, rows = _split_paragraphs(own["opening"]), self._invoice_rows()
        payable = facts.step not in NON_PAYMENT_STEPS
        linked = [row for row in rows if row["link"]]
        return self.values | {
            "language": self.language.code,
            "labels": self.labels,
            "subject": replace_nbsp(own["subject"]),
            "heading": own["heading"],
            "preview": one_line(opening[0], 120),
            "greeting": self._label("greeting"),
            "opening": opening,
            "rows": rows,
            "totals": self._totals(),
            "button": {"link": linked[0]["link"], "text": linked[0]["pay_label"]}
            if len(rows) == len(linked) == 1
            else "",
            "notes": self._notes(linked=bool(linked)),
            "ways_to_pay": self._payment_instructions() if payable else "",
            "closing": _split_paragraphs(own["closing"]),
            "sign_off": self._label("sign_off"),
            "footer": [self._label("footer_internal" if facts.step in INTERNAL_STEPS else "footer")],
            "portal_label": self._label("open_portal"),
            "portal_link": "" if facts.step in INTERNAL_STEPS else facts.portal_link,
            "stop_label": self._label("stop_reminders"),
            "stop_link": "" if facts.step in INTERNAL_STEPS else facts.stop_link,
        }

    def step_lines(self) -> dict[str, str]:
        """Fill the lines that are the step's own; what a person wrote for this very mail stands as he wrote it."""
        facts = self.facts
        shipped = {**load_step_lines(self.language.code, facts.step, facts.tone), **facts.template_lines}
        return {name: facts.custom_lines.get(name) or self._render_line(text) for name, text in shipped.items()}

    def _placeholder_values(self) -> dict[str, str]:
        """Everything the words may name."""
        facts = self.facts
        owed = sum((line.due for line in self.about), Decimal(0))
        off = facts.discount.amount if facts.discount else Decimal(0)
        due_days = [line.due_on for line in self.about if line.due_on]
        numbers = [line.number for line in self.about] or [line.number for line in facts.paid]
        what = self._name_invoices([one_line(number, 40) for number in numbers])
        return {
            "company": one_line(facts.company_name),
            "customer": one_line(facts.customer_name),
            "contact": one_line(facts.contact_name, 60),
            "sender": _signature_name(facts),
            "reply_to": facts.reply_to or facts.sender,
            "plural": "yes" if len(numbers) > 1 else "",
            "partly_paid": "yes" if any(line.due < line.total for line in self.about) else "",
            "invoices": what,
            "Invoices": what[:1].upper() + what[1:],
            "amount": self._format_money(owed),
            "due_on": self.language.format_date(min(due_days)) if due_days else "",
            "when_due": self._when_due(due_days),
            "days_overdue": self._days_late(),
            "discount": self._format_money(off),
            "discounted_amount": self._format_money(owed - off),
            "discount_until": self.language.format_date(facts.discount.ends_on) if facts.discount else "",
            "suspension_on": self.language.format_date(facts.suspension_on),
            "promised_on": self.language.format_date(facts.promised_on),
            "instalments": str(facts.instalments_max),
            "amount_paid": self._format_money(sum((line.paid for line in facts.paid), Decimal(0))),
            "credit": self._format_money(facts.credit),
        }

    def _when_due(self, due_days: Sequence[date]) -> str:
        """Say "on 2 November 2026", or where the days differ, between which they lie."""
        if not due_days:
            return ""
        first, last = self.language.format_date(min(due_days)), self.language.format_date(max(due_days))
        return render_line(
            self.labels["on_date" if first == last else "between_dates"], {"due_on": first, "due_last": last}
        )

    def _name_invoices(self, numbers: Sequence[str]) -> str:
        """Say "invoice 1042", "invoices 1042 and 1043", "invoices 1042, 1043, 1044 and 5 more"."""
        named = list(numbers[:NUMBERS_MAX])
        if len(numbers) > NUMBERS_MAX:
            named.append(render_line(self.labels["and_more"], {"count": str(len(numbers) - NUMBERS_MAX)}))
        label = "one_invoice" if len(numbers) == 1 else "several_invoices"
        return render_line(self.labels[label], {"numbers": self.language.join_items(named)})

    def _days_late(self) -> str:
        late = [line.days_late for line in self.about]
        if not late:
            return ""
        most = render_line(self.labels["one_day" if max(late) == 1 else "number_of_days"], {"days": str(max(late))})
        return most if len(set(late)) == 1 else render_line(self.labels["up_to"], {"days": most})

    def _invoice_rows(self) -> list[dict[str, Any]]:
        """List the invoices, the most overdue first; what is too much for a mail is one row that says how much."""
        ordered = sorted(self.listed, key=lambda line: (-line.days_late, line.number))
        rows = [self._invoice_row(line) for line in ordered[:ROWS_MAX]]
        if len(ordered) > ROWS_MAX:
            rest = ordered[ROWS_MAX:]
            text, due = (
                self._label("more_invoices", count=str(len(rest))),
                self._format_money(sum(line.due for line in rest)),
            )
            rows.append(
                {"number": text, "due": due, "sentence": f"{text}: {replace_nbsp(due)}", "details": [], **EMPTY_CELLS}
            )
        return rows

    def _invoice_row(self, line: InvoiceLine) -> dict[str, Any]:
        day, number = self.language.format_date, one_line(line.number, 40)
        issued_on, status = day(line.issued_on, short=True), self._due_status(line)
        row = {
            "number": number,
            "issued_on": issued_on,
            "due_status": status,
            "due": self._format_money(line.due),
            "of_total": self._label("of_total", total=self._format_money(line.total)) if line.due != line.total else "",
            "link": safe_link(line.pay_link) if self.facts.step not in NON_PAYMENT_STEPS else "",
            "pay_label": self._label("pay_invoice", number=number),
        }
        lines_below = [
            {"text": self._label("issued", issued_on=issued_on), "style": "muted"},
            {"text": status, "style": "overdue" if line.days_late > 0 else "muted"},
        ]
        return row | {"sentence": replace_nbsp(render_line(self.labels["invoice_row"], row)), "details": lines_below}

    def _due_status(self, line: InvoiceLine) -> str:
        if line.due_on is None:
            return self._label("no_due_date")
        return self._label(
            "falls_due", due_on=self.language.format_date(line.due_on, short=True), state=self._overdue_status(line)
        )

    def _overdue_status(self, line: InvoiceLine) -> str:
        if line.days_late > 0:
            return self._label("one_day_overdue" if line.days_late == 1 else "days_overdue", days=str(line.days_late))
        return self._label("due_soon" if line.days_late < 0 else "due_today")

    def _totals(self) -> list[dict[str, str]]:
        """Add up, where there is more than one invoice: what is overdue, and everything."""
        listed = self.listed
        if len(listed) < 2:
            return []
        overdue = [line.due for line in listed if line.days_late > 0]
        sums = [("total_open", sum(line.due for line in listed))]
        if overdue and len(overdue) < len(listed):
            sums.insert(0, ("total_overdue", sum(overdue)))
        return [{"label": self._label(label), "amount": self._format_money(Decimal(amount))} for label, amount in sums]

    def _notes(self, *, linked: bool) -> list[str]:
        """Say what stands beside the table: how to pay without a link, what is attached, credits, the late fee."""
        facts = self.facts
        if facts.step in NON_PAYMENT_STEPS:
            return []
        notes = []
        if not linked and not facts.ways_to_pay and facts.step is not Step.RECEIPT_CHECK:
            notes.append(self._label("pay_by_bank"))
        if facts.attachments:
            notes.append(self._label("attached", files=str(len(facts.attachments))))
        if facts.statement:
            notes.append(self._label("attached_statement"))
        if facts.credit > 0:
            notes.append(self._label("credit_available"))
        return notes + ([self._fee_note()] if facts.fee else [])

    def _payment_instructions(self) -> str:
        """Give the company's own lines on how to pay; who is asked whether an invoice arrived need not pay yet."""
        said = clean_lines(self.facts.ways_to_pay)
        return f"{self._label('ways_to_pay')}\n{said}" if said and self.facts.step is not Step.RECEIPT_CHECK else ""

    def _fee_note(self) -> str:
        fee = self.facts.fee
        if fee is None:
            return ""
        figure = self._format_money(fee.figure) if fee.kind == "flat" else self.language.format_number(fee.figure)
        from_on = self.language.format_date(fee.from_on) if fee.from_on else ""
        words = self._label(f"fee_{fee.kind}", fee=figure, fee_from_on=from_on)
        fixed = " / ".join(self._format_money(each) for each in fee.fixed_amounts)
        return f"{words} {self._label('fee_fixed', fee=fixed)}" if fixed else words

    def _format_money(self, amount: Decimal | int) -> str:
        return self.language.format_money(Decimal(amount), self.facts.currency)

    def _render_line(self, template: str) -> str:
        return render_line(template, self.values)

    def _label(self, label: str, **more: str) -> str:
        return render_line(self.labels[label], {**getattr(self, "values", {}), **more})


def _relevant_invoices(facts: EmailFacts, listed: list[InvoiceLine]) -> list[InvoiceLine]:
    """Pick the invoices the sentences are about: a mail about being late never counts what is not late yet."""
    about = [line for line in listed if line.number in facts.about] or listed
    if facts.step in BEFORE_DUE_STEPS:
        return about
    late_enough = [line for line in about if line.days_late > 0]
    if facts.step is Step.DUE_TODAY:
        late_enough = [line for line in about if line.days_late >= 0]
    return late_enough or about


def _signature_name(facts: EmailFacts) -> str:
    """Sign with the sender's name; where it is only the company's, shortened, the company signs alone."""
    company, sender = one_line(facts.company_name), one_line(facts.sender_name)
    return sender if sender and not company.casefold().startswith(sender.casefold()) else company


def _split_paragraphs(text: str) -> list[str]:
    return [" ".join(part.split(" ")) for part in text.strip().split("\n\n")]
