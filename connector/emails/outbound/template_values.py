"""The values an email's texts and layout are filled with: facts as plain strings in one language, safe to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from connector.emails.layout import Button, LayoutValues, Row, RowDetail, Total, load_texts, render_line
from connector.emails.outbound.email_facts import EmailFacts, FeeKind, FeeWarning, InvoiceLine, PaidLine
from connector.languages import Language, replace_nbsp
from connector.plain_text import clean_lines, one_line, safe_link
from policies.receivables import Step

INTERNAL_STEPS = frozenset({Step.NOTIFY_OWNER})
NON_PAYMENT_STEPS = INTERNAL_STEPS | {Step.THANK_YOU, Step.WITHHOLDING_CERTIFICATE}
BEFORE_DUE_STEPS = frozenset({Step.RECEIPT_CHECK, Step.DISCOUNT_ENDING, Step.BEFORE_DUE})
NUMBERS_MAX = 3  # invoices named in a sentence
ROWS_MAX = 40  # invoices listed in an email; the others are summed up in one row


class EmailTexts:
    """The facts of one email in one language."""

    def __init__(self, facts: EmailFacts, language: Language) -> None:
        self.facts = facts
        self.language = language
        self.texts = load_texts(language.code)
        self.listed = [] if facts.step is Step.THANK_YOU else list(facts.invoices)
        self.about = _relevant_invoices(facts, self.listed)
        counts = Counter(one_line(line.number, 40) for line in self.listed or facts.paid)
        self.repeated = {number for number, count in counts.items() if count > 1}
        self.repeated |= {one_line(line.number, 40) for line in self.listed or facts.paid if line.shares_number}
        self.values = self._placeholder_values()

    def layout_values(self) -> LayoutValues:
        """Return everything the layouts show."""
        facts, lines = self.facts, self.step_lines()
        internal, payable = facts.step in INTERNAL_STEPS, facts.step not in NON_PAYMENT_STEPS
        opening, rows = _split_paragraphs(lines["opening"]), self._invoice_rows()
        linked = [row for row in rows if row.link]
        only = linked[0] if len(rows) == len(linked) == 1 else None
        return LayoutValues(
            language=self.language.code,
            subject=replace_nbsp(lines["subject"]),
            heading=lines["heading"],
            preview=one_line(opening[0], 120),
            greeting=self._label("greeting"),
            opening=opening,
            row_heading=self._label("invoice"),
            amount_heading=self._label("amount_due"),
            rows=rows,
            totals=self._totals(),
            button=Button(only.pay_label, only.link) if only else None,
            notes=self._notes(linked=bool(linked)),
            payment_instructions=self._payment_instructions() if payable else "",
            closing=_split_paragraphs(lines["closing"]),
            sign_off=self._label("sign_off"),
            sender=self.values["sender"],
            company=self.values["company"],
            colon=self.texts.labels["colon"],
            footer=[self._label("footer_internal" if internal else "footer")],
            portal_label=self._label("open_portal"),
            portal_link="" if internal else facts.portal_link,
            stop_label=self._label("stop_reminders"),
            stop_link="" if internal else facts.stop_link,
        )

    def step_lines(self) -> dict[str, str]:
        """Return the step's own lines, filled; lines written for this one email are used as they are."""
        facts = self.facts
        templates = {**self.texts.step_lines(facts.step, facts.tone), **facts.template_lines}
        return {
            name: facts.custom_lines.get(name) or render_line(text, self.values) for name, text in templates.items()
        }

    def _placeholder_values(self) -> dict[str, str]:
        """Return the placeholders of the step's lines; users write them into their own templates."""
        facts = self.facts
        due = _sum_due(self.about)
        discount = facts.discount.amount if facts.discount else Decimal(0)
        due_dates = [line.due_on for line in self.about if line.due_on]
        named: Sequence[InvoiceLine | PaidLine] = self.about or facts.paid
        invoices, reference = self._name_invoices(named, "invoice"), self._name_invoices(named, "reference")
        return {
            "company": one_line(facts.company_name),
            "customer": one_line(facts.customer_name),
            "contact": one_line(facts.contact_name, 60),
            "sender": _signature_name(facts),
            "reply_to": facts.reply_to or facts.sender,
            "plural": "yes" if len(named) > 1 else "",
            "partly_paid": "yes" if any(line.paid > 0 for line in self.about) else "",
            "invoices": invoices,
            "Invoices": invoices[:1].upper() + invoices[1:],
            "reference": reference,
            "Reference": reference[:1].upper() + reference[1:],
            "amount": self._format_money(due),
            "due_on": self.language.format_date(min(due_dates)) if due_dates else "",
            "when_due": self._when_due(due_dates),
            "days_overdue": self._days_overdue(),
            "discount": self._format_money(discount),
            "discounted_amount": self._format_money(due - discount),
            "discount_until": self.language.format_date(facts.discount.ends_on) if facts.discount else "",
            "suspension_on": self.language.format_date(facts.suspension_on),
            "thanked_on": self.language.format_date(facts.thanked_on),
            "promised_on": self.language.format_date(facts.promised_on),
            "instalments": str(facts.instalments_max),
            "amount_paid": self._format_money(sum((line.paid for line in facts.paid), Decimal(0))),
            "credit": self._format_money(facts.credit),
        }

    def _when_due(self, due_dates: Sequence[date]) -> str:
        """Return "on 2 November 2026", or "between … and …" where the due dates differ."""
        if not due_dates:
            return ""
        first, last = self.language.format_date(min(due_dates)), self.language.format_date(max(due_dates))
        return self._text("on_date" if first == last else "between_dates", due_on=first, due_last=last)

    def _name_invoices(self, lines: Sequence[InvoiceLine | PaidLine], noun: str) -> str:
        """Return "invoice 1042", "invoices 1042 and 1043" or "invoices 1042, 1043, 1044 and 5 more".

        As an "invoice" it is part of a sentence, with an article in most languages; as a "reference" it stands alone.
        An invoice without a number is named by its date, and so are two with the same number; those of one date have
        their amounts beside it.
        """
        ordered = sorted(lines, key=lambda line: not line.number.strip())  # those with a number come first
        by_date = bool(ordered) and all(not line.number.strip() for line in ordered)
        named = [self._name_one(line, by_date=by_date) for line in ordered]
        counts = Counter(named)
        named = [
            f"{name} ({self._format_money(_shown_amount(line))})" if counts[name] > 1 else name
            for name, line in zip(named[:NUMBERS_MAX], ordered, strict=False)
        ]
        if len(lines) > NUMBERS_MAX:
            named.append(self._text("and_more", count=str(len(lines) - NUMBERS_MAX)))
        numbered = sum(bool(line.number.strip()) for line in lines)  # "invoice 1042 and the one of 21 May"
        is_one = len(lines) == 1 or numbered == 1
        label, joined = f"one_{noun}" if is_one else f"several_{noun}s", self.language.join_items(named)
        return self._text(f"{label}_by_date", dates=joined) if by_date else self._text(label, numbers=joined)

    def _name_one(self, line: InvoiceLine | PaidLine, *, by_date: bool = False) -> str:
        """Return an invoice's number, with its date where another has the same; else its date."""
        number, issued_on = one_line(line.number, 40), self.language.format_date(line.issued_on)
        if not number:
            return self._text("date_item" if by_date else "unnumbered_item", issued_on=issued_on)
        return self._text("number_of_date", number=number, issued_on=issued_on) if number in self.repeated else number

    def _days_overdue(self) -> str:
        """Return "19 days", or "up to 28 days" where the invoices differ."""
        late = {line.days_late for line in self.about}
        if not late:
            return ""
        longest = self._text("one_day" if max(late) == 1 else "number_of_days", days=str(max(late)))
        return longest if len(late) == 1 else self._text("up_to", days=longest)

    def _invoice_rows(self) -> list[Row]:
        """List the invoices, the most overdue first; those beyond ``ROWS_MAX`` are summed up in one row."""
        ordered = sorted(self.listed, key=lambda line: (-line.days_late, line.number, line.issued_on))
        rows = [self._invoice_row(line) for line in ordered[:ROWS_MAX]]
        rest = ordered[ROWS_MAX:]
        if rest:
            text, due = self._label("more_invoices", count=str(len(rest))), self._format_money(_sum_due(rest))
            rows.append(Row(text, f"{text}{self.texts.labels['colon']}{replace_nbsp(due)}", due))
        return rows

    def _invoice_row(self, line: InvoiceLine) -> Row:
        is_chased = self.facts.step is not Step.WITHHOLDING_CERTIFICATE
        number, due = one_line(line.number, 40), self._format_money(line.to_pay)
        issued_on, status = self.language.format_date(line.issued_on, short=True), self._due_status(line)
        of_total = self._label("of_total", total=self._format_money(line.total)) if line.to_pay != line.total else ""
        cells = {"number": number, "issued_on": issued_on, "due": due, "of_total": of_total, "due_status": status}
        by_date = "" if number else self._text("one_reference_by_date", dates=self._name_one(line, by_date=True))
        return Row(
            number=number or by_date[:1].upper() + by_date[1:],
            sentence=replace_nbsp(self._text("invoice_row" if number else "invoice_row_by_date", **cells)),
            due=due,
            of_total=of_total,
            details=(
                RowDetail(self._label("issued", issued_on=issued_on)),
                RowDetail(status, "overdue" if is_chased and line.days_late > 0 else "muted"),
            ),
            link=safe_link(line.pay_link) if self.facts.step not in NON_PAYMENT_STEPS else "",
            pay_label=self._label("pay_invoice", number=number) if number else self._label("pay_this_invoice"),
        )

    def _due_status(self, line: InvoiceLine) -> str:
        if self.facts.step is Step.WITHHOLDING_CERTIFICATE:
            return self._label("tax_withheld")
        if line.due_on is None:
            return self._label("no_due_date")
        due_on = self.language.format_date(line.due_on, short=True)
        return self._label("falls_due", due_on=due_on, state=self._overdue_status(line))

    def _overdue_status(self, line: InvoiceLine) -> str:
        if line.days_late > 0:
            state = self._label("one_day_overdue" if line.days_late == 1 else "days_overdue", days=str(line.days_late))
            if line.counted_from_on is None:
                return state
            return self._label(
                "counted_from", state=state, from_on=self.language.format_date(line.counted_from_on, short=True)
            )
        return self._label("due_soon" if line.days_late < 0 else "due_today")

    def _totals(self) -> list[Total]:
        """Sum up, where there is more than one invoice: what is overdue, if that is not all, and everything."""
        listed = self.listed
        if len(listed) < 2:
            return []
        is_chased = self.facts.step is not Step.WITHHOLDING_CERTIFICATE
        overdue = [line for line in listed if line.days_late > 0 and is_chased]
        totals = [Total(self._label("total_open"), self._format_money(_sum_due(listed)))]
        if overdue and len(overdue) < len(listed):
            totals.insert(0, Total(self._label("total_overdue"), self._format_money(_sum_due(overdue))))
        return totals

    def _notes(self, *, linked: bool) -> list[str]:
        """Return what stands below the table: how to pay without a link, attachments, credit, the late fee."""
        facts = self.facts
        if facts.step in NON_PAYMENT_STEPS:
            return []
        notes = []
        if not linked and not facts.payment_instructions and facts.step is not Step.RECEIPT_CHECK:
            notes.append(self._label("pay_by_bank"))
        if facts.attachments:
            notes.append(self._label("attached", files=str(len(facts.attachments))))
        if facts.statement:
            notes.append(self._label("attached_statement"))
        if facts.credit > 0:
            notes.append(self._label("credit_available"))
        if facts.fee:
            notes.append(self._fee_note(facts.fee))
        return notes

    def _payment_instructions(self) -> str:
        """Return the company's payment instructions; a receipt check does not ask for money yet."""
        lines = clean_lines(self.facts.payment_instructions)
        if not lines or self.facts.step is Step.RECEIPT_CHECK:
            return ""
        return f"{self._label('payment_instructions')}\n{lines}"

    def _fee_note(self, fee: FeeWarning) -> str:
        is_amount = fee.kind is FeeKind.FLAT
        figure = self._format_money(fee.figure) if is_amount else self.language.format_percent(fee.figure)
        from_on = self.language.format_date(fee.from_on) if fee.from_on else ""
        note = self._label(f"fee_{fee.kind}", fee=figure, fee_from_on=from_on)
        fixed = " / ".join(self._format_money(each) for each in fee.fixed_amounts)
        note = f"{note} {self._label('fee_fixed', fee=fixed)}" if fixed else note
        lines = [line for line in self.listed if line.key in fee.only_for]
        only_for = self._name_invoices(lines, "invoice") if lines else ""
        return f"{note} {self._label('fee_only_for', fee_invoices=only_for)}" if only_for else note

    def _format_money(self, amount: Decimal) -> str:
        return self.language.format_money(amount, self.facts.currency)

    def _label(self, name: str, **more: str) -> str:
        """Fill a label, which may use the step's placeholders as well."""
        return self._text(name, **{**self.values, **more})

    def _text(self, name: str, **values: str) -> str:
        return render_line(self.texts.labels[name], values)


def _relevant_invoices(facts: EmailFacts, listed: list[InvoiceLine]) -> list[InvoiceLine]:
    """Return the invoices the sentences are about: an email about overdue invoices never counts those not due yet."""
    about = [line for line in listed if line.key in facts.about] or listed
    if facts.step in BEFORE_DUE_STEPS:
        return about
    least = 0 if facts.step is Step.DUE_TODAY else 1
    return [line for line in about if line.days_late >= least] or about


def _sum_due(lines: Sequence[InvoiceLine]) -> Decimal:
    return sum((line.to_pay for line in lines), Decimal(0))


def _shown_amount(line: InvoiceLine | PaidLine) -> Decimal:
    return line.to_pay if isinstance(line, InvoiceLine) else line.paid


def _signature_name(facts: EmailFacts) -> str:
    """Return who signs: the sender, or the company alone where the sender's name only shortens the company's."""
    company, sender = one_line(facts.company_name), one_line(facts.sender_name)
    return sender if sender and not company.casefold().startswith(sender.casefold()) else company


def _split_paragraphs(text: str) -> list[str]:
    return text.strip().split("\n\n")
