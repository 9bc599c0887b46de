"""The table of an email: the invoices it is about with their sum, what else is open, the totals.

The first group has the amount of the opening as its sum, so that nobody has to look for it in the total.
"""

from __future__ import annotations

from collections.abc import Sequence

from connector.emails.layout import Row, RowDetail, RowGroup, Total
from connector.emails.outbound.email_facts import InvoiceLine
from connector.emails.outbound.email_sums import EmailSums, sum_overdue, sum_to_pay
from connector.emails.outbound.wording import Wording
from connector.languages import replace_nbsp
from connector.plain_text import one_line, safe_link
from policies.receivables import Step

ROWS_MAX = 10  # where the statement is attached, which lists the others
ROWS_MAX_WITHOUT_STATEMENT = 40
UNPAYABLE_STEPS = frozenset({Step.NOTIFY_OWNER, Step.THANK_YOU, Step.WITHHOLDING_CERTIFICATE})


class InvoiceTable:
    """The table of one email."""

    def __init__(self, wording: Wording, sums: EmailSums) -> None:
        self._wording, self._sums = wording, sums
        self._has_statement = wording.facts.statement is not None
        self._is_complete = self._has_statement or not sums.unlisted
        self._is_chased = wording.facts.step is not Step.WITHHOLDING_CERTIFICATE

    def groups(self) -> list[RowGroup]:
        """Return the invoices the email is about, then the others with those that only the statement lists."""
        sums, wording = self._sums, self._wording
        if not sums.asked:
            return []
        rows_max = ROWS_MAX if self._has_statement else ROWS_MAX_WITHOUT_STATEMENT
        left = max(0, rows_max - len(sums.asked))
        asked = self._rows(sums.asked[:rows_max], sums.asked[rows_max:])
        unlisted = sums.unlisted if self._has_statement else ()
        others = self._rows(sums.listed[:left], [*sums.listed[left:], *unlisted])
        if not others:
            return [RowGroup(rows=asked)]
        label = "total_overdue" if self._asks_for_all_overdue() else "subtotal"
        subtotal = Total(wording.label(label), wording.format_money(sums.asked_amount))
        return [RowGroup(rows=asked, subtotal=subtotal), RowGroup(wording.label("other_invoices"), others)]

    def totals(self) -> list[Total]:
        """Sum up, where there is more than one invoice: what is overdue, if nothing else says so, and everything."""
        sums, wording = self._sums, self._wording
        count = len(sums.asked) + len(sums.listed) + (len(sums.unlisted) if self._has_statement else 0)
        if count < 2:
            return []
        totals = [Total(wording.label("total_listed"), wording.format_money(sums.table_amount))]
        if self._is_complete:
            totals = [Total(wording.label("total_open"), wording.format_money(sums.outstanding))]
            overdue = sum_overdue(sums.every)
            if self._is_chased and 0 < overdue < sums.outstanding and not self._asks_for_all_overdue():
                totals.insert(0, Total(wording.label("total_overdue"), wording.format_money(overdue)))
        return totals

    def _asks_for_all_overdue(self) -> bool:
        overdue = [line for line in self._sums.every if line.days_late > 0]
        return self._is_chased and len(overdue) == len(self._sums.asked) and set(overdue) == set(self._sums.asked)

    def _rows(self, shown: Sequence[InvoiceLine], rest: Sequence[InvoiceLine]) -> list[Row]:
        """Return a row for each invoice that is shown, and one that sums up the rest."""
        rows = [self._row(line) for line in shown]
        if rest:
            name = "on_statement" if self._has_statement else "more_invoices"
            text, due = self._wording.label(name, count=str(len(rest))), self._wording.format_money(sum_to_pay(rest))
            rows.append(Row(text, f"{text}{self._wording.colon}{replace_nbsp(due)}", due))
        return rows

    def _row(self, line: InvoiceLine) -> Row:
        wording = self._wording
        language = wording.language
        number, due = one_line(line.number, 40), wording.format_money(line.to_pay)
        issued_on, status = language.format_date(line.issued_on, short=True), self._due_status(line)
        total = wording.format_money(line.total)
        of_total = wording.label("of_total", total=total) if line.to_pay != line.total else ""
        cells = {"number": number, "issued_on": issued_on, "due": due, "of_total": of_total, "due_status": status}
        by_date = "" if number else wording.text("one_reference_by_date", dates=wording.name_one(line, by_date=True))
        return Row(
            number=number or by_date[:1].upper() + by_date[1:],
            sentence=replace_nbsp(wording.text("invoice_row" if number else "invoice_row_by_date", **cells)),
            due=due,
            of_total=of_total,
            details=(
                RowDetail(wording.label("issued", issued_on=issued_on)),
                RowDetail(status, "overdue" if self._is_chased and line.days_late > 0 else "muted"),
            ),
            link=safe_link(line.pay_link) if wording.facts.step not in UNPAYABLE_STEPS else "",
            pay_label=wording.label("pay_invoice", number=number) if number else wording.label("pay_this_invoice"),
        )

    def _due_status(self, line: InvoiceLine) -> str:
        wording = self._wording
        if not self._is_chased:
            return wording.label("tax_withheld")
        if line.due_on is None:
            return wording.label("no_due_date")
        due_on = wording.language.format_date(line.due_on, short=True)
        return wording.label("falls_due", due_on=due_on, state=self._overdue_status(line))

    def _overdue_status(self, line: InvoiceLine) -> str:
        wording = self._wording
        if line.days_late <= 0 and line.payable_by_on is not None:
            return wording.label("payable_by", payable_on=wording.language.format_date(line.payable_by_on, short=True))
        if line.days_late <= 0:
            return wording.label("due_soon" if line.days_late < 0 else "due_today")
        state = wording.label("one_day_overdue" if line.days_late == 1 else "days_overdue", days=str(line.days_late))
        if line.counted_from_on is None:
            return state
        from_on = wording.language.format_date(line.counted_from_on, short=True)
        return wording.label("counted_from", state=state, from_on=from_on)
