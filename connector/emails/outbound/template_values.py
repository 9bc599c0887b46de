"""The values an email's texts and layout are filled with: facts as plain strings in one language, safe to show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from urllib.parse import urlencode

from connector.emails.layout import Button, LayoutValues, RowGroup, Summary, TransferText, render_line
from connector.emails.outbound.bank_transfer import email_transfer, word_transfer
from connector.emails.outbound.email_facts import EmailFacts, FeeKind, FeeWarning, InvoiceLine, PaidLine
from connector.emails.outbound.email_look import look_of
from connector.emails.outbound.email_sums import BEFORE_DUE_STEPS, sum_covered, sums_of
from connector.emails.outbound.invoice_table import UNPAYABLE_STEPS, InvoiceTable
from connector.emails.outbound.wording import Wording
from connector.languages import Language, replace_nbsp
from connector.plain_text import clean_lines, one_line
from policies.receivables import Step

INTERNAL_STEPS = frozenset({Step.NOTIFY_OWNER})
NO_AMOUNT_STEPS = frozenset({Step.RECEIPT_CHECK, Step.DISCOUNT_ENDING})  # whose button asks for no certain amount
UNHURRIED_STEPS = BEFORE_DUE_STEPS | {Step.PLAN_OFFER}
DATED_STEPS = frozenset({Step.PAST_DUE, Step.SECOND_NOTICE, Step.FINAL_NOTICE})  # that say when we last wrote
IDS_MAX = 20  # invoices named in the link to pay several


class EmailTexts(Wording):
    """The facts of one email in one language."""

    def __init__(self, facts: EmailFacts, language: Language) -> None:
        super().__init__(facts, language)
        self.sums = sums_of(facts)
        self.transfer = email_transfer(facts, self.sums)
        self.values = self._placeholder_values()

    def layout_values(self) -> LayoutValues:
        """Return everything the layouts show."""
        facts, lines = self.facts, self.step_lines()
        internal, payable = facts.step in INTERNAL_STEPS, facts.step not in UNPAYABLE_STEPS
        opening, table, summary = _split_paragraphs(lines["opening"]), InvoiceTable(self, self.sums), self._summary()
        groups = table.groups()
        return LayoutValues(
            language=self.language.code,
            subject=replace_nbsp(lines["subject"]),
            heading=lines["heading"],
            preview=one_line(
                f"{summary.amount}, {summary.due}. {_as_sentence(opening[0])}" if summary else opening[0], 120
            ),
            greeting=self.label("greeting"),
            summary=summary,
            opening=opening,
            row_heading=self.label("invoice"),
            amount_heading=self.label("amount_due"),
            groups=groups,
            totals=table.totals(),
            button=self._button(groups) if payable else None,
            notes=self._notes(groups),
            transfer=self._transfer_text(),
            payment_instructions=self._payment_instructions() if payable else "",
            closing=_split_paragraphs(lines["closing"]),
            sign_off=self.label("sign_off"),
            sender=self.values["sender"],
            company=self.values["company"],
            colon=self.colon,
            footer=[self.label("footer_internal")] if internal else self._footer(),
            portal_label=self.label("open_portal"),
            portal_link="" if internal else facts.portal_link,
            stop_label=self.label("stop_reminders"),
            stop_link="" if internal else facts.stop_link,
            look=look_of(facts, self.values["sender"]),
        )

    def _footer(self) -> list[str]:
        """Return why they get the email, and what is recorded of it."""
        opens, clicks = ("yes" if on else "" for on in (self.facts.track_opens, self.facts.track_clicks))
        tracked = [self.label("footer_tracking", opens=opens, clicks=clicks)] if opens or clicks else []
        return [self.label("footer"), *tracked]

    def _summary(self) -> Summary | None:
        """Return what comes first: the amount and its due day; None where the email asks for no money."""
        facts, values = self.facts, self.values
        if facts.step in UNPAYABLE_STEPS or not values["when_due"]:
            return None
        if facts.step is Step.DISCOUNT_ENDING:
            return Summary(values["discounted_amount"], self.label("summary_discount"))
        is_late = facts.step not in BEFORE_DUE_STEPS and min(line.days_late for line in self.sums.asked) > 0
        is_counted = is_late and not any(line.counted_from_on for line in self.sums.asked)
        return Summary(values["amount"], self.label("summary_overdue" if is_counted else "summary_due"))

    def _button(self, groups: Sequence[RowGroup]) -> Button | None:
        """Return the button that pays what the email asks for: the one invoice, or all of them on a page of ours."""
        facts, sums = self.facts, self.sums
        linked = [row for row in groups[0].rows if row.link] if groups else []
        if not linked:
            return None
        if len(sums.asked) > 1:
            return self._pay_all_button()
        if not sums.is_exact or facts.step in NO_AMOUNT_STEPS:
            return Button(linked[0].pay_label, linked[0].link)
        return Button(self.label("pay_amount" if facts.step in UNHURRIED_STEPS else "pay_now"), linked[0].link)

    def _pay_all_button(self) -> Button | None:
        if not self.facts.portal_link:
            return None
        ids = [line.id for line in self.sums.asked if line.id]
        is_named = len(ids) == len(self.sums.asked) <= IDS_MAX
        query = f"?{urlencode([('invoice', each) for each in ids])}" if is_named else ""
        is_exact = self.sums.is_exact and is_named and self.facts.step not in NO_AMOUNT_STEPS
        return Button(self.label("pay_all", exact="yes" if is_exact else ""), f"{self.facts.portal_link}/pay{query}")

    def step_lines(self) -> dict[str, str]:
        """Return the step's own lines, filled; lines written for this one email are used as they are."""
        facts = self.facts
        shipped = {
            **self.texts.step_lines(facts.step, facts.tone),
            **self.texts.again_lines(facts.step, facts.earlier_of_step),
            **(self.texts.moved_lines(facts.step) if any(line.payable_by_on for line in self.sums.asked) else {}),
        }
        filled = {name: render_line(text, self.values) for name, text in {**shipped, **facts.template_lines}.items()}
        since = self._since_last()
        if since:
            first, *others = _split_paragraphs(filled["opening"])
            filled["opening"] = "\n\n".join([first, since, *others])
        return {name: facts.custom_lines.get(name) or text for name, text in filled.items()}

    def _since_last(self) -> str:
        """Return what came and what was said since the last email; only if that is nothing, when it was sent."""
        since = self.facts.since
        if since is None:
            return ""
        is_thanked = self.facts.step is Step.PAST_DUE and self.values["partly_paid"]  # in its first sentence
        date_of = self.language.format_date
        said = {
            "dispute_closed": since.disputed_on,
            "paid": since.paid,
            "reported": since.reported_on,
            "promise_broken": since.promised_on,
            "promised_before": since.promised_before_on,
            "replied": None if since.disputed_on or since.reported_on else since.replied_on,
        }
        names = [name for name, fact in said.items() if fact] or (["wrote"] if self.facts.step in DATED_STEPS else [])
        values = {
            "wrote_on": date_of(since.wrote_on),
            "paid_since": self.format_money(since.paid),
            "thanks": "" if is_thanked else "yes",
            "promised_since": date_of(since.promised_on),
            "promised_before": date_of(since.promised_before_on),
            "replied_on": date_of(since.replied_on),
            "reported_on": date_of(since.reported_on),
            "disputed_on": date_of(since.disputed_on),
        }
        return " ".join(render_line(self.texts.since_last[name], values) for name in names)

    def _placeholder_values(self) -> dict[str, str]:
        """Return the placeholders of the step's lines; users write them into their own templates."""
        facts = self.facts
        due = self.sums.asked_amount
        discount = facts.discount.amount if facts.discount else Decimal(0)
        due_dates = [line.due_on for line in self.sums.asked if line.due_on]
        named: Sequence[InvoiceLine | PaidLine] = self.sums.asked or facts.paid
        invoices, reference = self.name_invoices(named, "invoice"), self.name_invoices(named, "reference")
        return {
            "company": one_line(facts.company_name),
            "customer": one_line(facts.customer_name),
            "contact": one_line(facts.contact_name, 60),
            "sender": _signature_name(facts),
            "reply_to": facts.reply_to or facts.sender,
            "plural": "yes" if len(named) > 1 else "",
            "partly_paid": "yes" if any(line.paid > 0 for line in self.sums.asked) else "",
            "invoices": invoices,
            "Invoices": invoices[:1].upper() + invoices[1:],
            "reference": reference,
            "Reference": reference[:1].upper() + reference[1:],
            "amount": self.format_money(due),
            "due_on": self.language.format_date(min(due_dates)) if due_dates else "",
            "when_due": self._when_due(due_dates),
            "days_overdue": self._days_overdue(),
            "discount": self.format_money(discount),
            "discounted_amount": self.format_money(due - discount),
            "discount_until": self.language.format_date(facts.discount.ends_on) if facts.discount else "",
            "suspension_on": self.language.format_date(facts.suspension_on),
            "thanked_on": self.language.format_date(facts.thanked_on),
            "promised_on": self.language.format_date(facts.promised_on),
            "promised_amount": "" if facts.promised_amount is None else self.format_money(facts.promised_amount),
            "instalments": str(facts.instalments_max),
            "amount_paid": self.format_money(sum((line.paid for line in facts.paid), Decimal(0))),
            "credit": self.format_money(self._credit()),
        }

    def _when_due(self, due_dates: Sequence[date]) -> str:
        """Return "on 2 November 2026", or "between … and …" where the due dates differ."""
        if not due_dates:
            return ""
        first, last = self.language.format_date(min(due_dates)), self.language.format_date(max(due_dates))
        return self.text("on_date" if first == last else "between_dates", due_on=first, due_last=last)

    def _days_overdue(self) -> str:
        """Return "19 days", or "up to 28 days" where the invoices differ."""
        late = {line.days_late for line in self.sums.asked}
        if not late:
            return ""
        longest = self.text("one_day" if max(late) == 1 else "number_of_days", days=str(max(late)))
        return longest if len(late) == 1 else self.text("up_to", days=longest)

    def _notes(self, groups: Sequence[RowGroup]) -> list[str]:
        """Return what stands below the table: how to pay without a link, attachments, credit, the late fee."""
        facts = self.facts
        if facts.step in UNPAYABLE_STEPS:
            return []
        notes = []
        linked = any(row.link for group in groups for row in group.rows)
        if (
            not linked
            and not facts.payment_instructions
            and self.transfer is None
            and facts.step is not Step.RECEIPT_CHECK
        ):
            notes.append(self.label("pay_by_bank"))
        if facts.attachments:
            notes.append(self.label("attached", files=str(len(facts.attachments))))
        if facts.more_files and facts.portal_link:
            notes.append(self.label("more_files", files=str(len(facts.attachments))))
        if facts.statement:
            notes.append(self.label("attached_statement"))
        if self._credit() > 0:
            notes.append(self.label("credit_available"))
        if facts.fee:
            notes.append(self._fee_note(facts.fee))
        return notes

    def _transfer_text(self) -> TransferText | None:
        """Return how to pay by bank, with the code that travels in the email."""
        if self.transfer is None:
            return None
        text = word_transfer(self.transfer, self.language)
        return replace(text, image=self.code_image_id) if text.alt else text

    @property
    def code_image_id(self) -> str:
        """The content id of the payment code, of this very email."""
        return f"payment-code@{self.facts.message_domain or self.facts.sender.rpartition('@')[2]}"

    def _payment_instructions(self) -> str:
        """Return the company's payment instructions; a receipt check does not ask for money yet."""
        lines = clean_lines(self.facts.payment_instructions)
        if not lines or self.facts.step is Step.RECEIPT_CHECK:
            return ""
        return f"{self.label('payment_instructions')}\n{lines}"

    def _credit(self) -> Decimal:
        """Return the unapplied credit that was deducted from the amounts shown, in the statement as well."""
        unlisted = self.sums.unlisted if self.facts.statement else ()
        return sum_covered([*self.sums.asked, *self.sums.listed, *unlisted])

    def _fee_note(self, fee: FeeWarning) -> str:
        facts = self.facts
        is_amount = fee.kind is FeeKind.FLAT
        figure = self.format_money(fee.figure) if is_amount else self.language.format_percent(fee.figure)
        from_on = self.language.format_date(fee.from_on) if fee.from_on else ""
        lines = [line for line in facts.invoices if line.key in fee.only_for]
        start = self._interest_start(lines or facts.invoices)
        note = self.label(f"fee_{fee.kind}", fee=figure, fee_from_on=from_on, fee_counted_from=start)
        fixed = " / ".join(self.format_money(each) for each in fee.fixed_amounts)
        note = f"{note} {self.label('fee_fixed', fee=fixed)}" if fixed else note
        only_for = self.name_invoices(lines, "invoice") if lines else ""
        return f"{note} {self.label('fee_only_for', fee_invoices=only_for)}" if only_for else note

    def _interest_start(self, lines: Iterable[InvoiceLine]) -> str:
        """Return from when interest counts: ``due_date``, a later date, or nothing where it is not the same for all."""
        starts = {line.counted_from_on or line.payable_by_on for line in lines}
        if len(starts) != 1:
            return ""
        [start] = starts
        return self.language.format_date(start) if start else "due_date"


def _signature_name(facts: EmailFacts) -> str:
    """Return who signs: the sender, or the company alone where the sender's name only shortens the company's."""
    company, sender = one_line(facts.company_name), one_line(facts.sender_name)
    return sender if sender and not company.casefold().startswith(sender.casefold()) else company


def _split_paragraphs(text: str) -> list[str]:
    return text.strip().split("\n\n")


def _as_sentence(opening: str) -> str:
    """Return an opening that goes on after the salutation, as German and Italian ones do, as a sentence of its own."""
    first = opening.split(" ", 1)[0]
    return opening[:1].upper() + opening[1:] if first.isalpha() and first.islower() else opening
