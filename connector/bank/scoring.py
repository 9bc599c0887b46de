"""How likely it is that money pays certain invoices: points for each thing that speaks for or against it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from connector.bank.facts import OpenInvoice, Receipt
from connector.bank.near_numbers import is_nearly_written, number_tokens
from connector.bank.number_index import NAMED, VAGUE, NumberHit
from connector.bank.open_items import CENTS, CHARGES, OVER, PART, AmountFit, OpenItems, is_after_issue
from connector.bank.payers import SAME_NAME, Payer

SURE, PROBABLE = 75, 40  # the least scores
ONLY_ONE, NEARLY = 17, 18
_IN_TIME = 5
_OTHER_PAYER, _OTHER_NUMBER, _BEFORE_ISSUE, _PENDING = -30, -20, -30, -40


class Hypothesis(NamedTuple):
    """A reading of a receipt: what it pays, and why."""

    score: int
    invoices: tuple[OpenInvoice, ...]
    amount: AmountFit
    parts: tuple[tuple[str, int], ...]
    is_unique: bool
    is_likely: bool = False  # of the payer's own invoices, or of this very amount: a number may be mistyped


def as_likely(hypothesis: Hypothesis) -> Hypothesis:
    """Return a reading that is probable, however few points it has."""
    return hypothesis._replace(score=max(hypothesis.score, PROBABLE), is_likely=True)


def rank(hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
    """Return readings, the best first."""
    return sorted(hypotheses, key=lambda each: (-each.score, [one.id for one in each.invoices]))


class Scorer:
    """Scores readings of one receipt after another."""

    def __init__(self, items: OpenItems, family_of: Mapping[str, str]) -> None:
        """Score by what is open; ``family_of`` has the family of each invoice, closed ones included."""
        self._items = items
        self._family_of = family_of
        self._written: list[str] = []  # what may be numbers in the text of the receipt at hand

    def start(self, receipt: Receipt) -> None:
        """Turn to a receipt."""
        self._written = number_tokens(f"{receipt.text} {receipt.reference}")

    def is_nearly_written(self, invoice: OpenInvoice) -> bool:
        """Return whether the text has the number of an invoice but for a slip."""
        return is_nearly_written(invoice.number, self._written)

    def score(
        self,
        receipt: Receipt,
        invoices: tuple[OpenInvoice, ...],
        payers: Sequence[Payer],
        number_points: int,
        number: str,
        hits: Sequence[NumberHit] = (),
        *,
        is_only: bool = False,
    ) -> Hypothesis:
        """Return a reading of a receipt with the parts of its score.

        Args:
            receipt: the money.
            invoices: what it would pay.
            payers: who may have paid.
            number_points: how clearly the text names the invoices, 0 where it does not.
            number: the number as the text has it.
            hits: all invoices that the text names.
            is_only: whether nothing else of the payer makes the amount.

        """
        amount = self._items.fit(receipt, invoices)
        what = number if len(invoices) == 1 else f"{len(invoices)} invoices"
        named = [(f"names {what}", number_points)] if number_points else []
        parts = [*named, (amount.reason, amount.points)]
        families = {each.family for each in invoices}
        payer = next((each for each in payers if each.family in families), None)
        if payer is not None:
            parts.append((payer.reason, payer.points))
        elif payers and (not number_points or payers[0].points >= SAME_NAME):
            fits = number_points and amount.points >= CHARGES
            parts.append(("the payer is another customer", _OTHER_PAYER // 2 if fits else _OTHER_PAYER))
        others = self._other_named(invoices, hits)
        is_theirs_named = any(self._family_of[each] in families for each in others)  # another, without a slip
        may_be_near = not number_points and payer is not None and amount.points >= CHARGES and not is_theirs_named
        is_near = may_be_near and len(invoices) == 1 and self.is_nearly_written(invoices[0])
        if is_near:  # what is written is another's number, or nobody's, but for one slip
            parts.append((f"names nearly {invoices[0].number}", NEARLY))
        elif others and not number_points:
            parts.append(("names another invoice", _OTHER_NUMBER))
        if is_only and amount.points >= CHARGES:
            parts.append(("only one way to reach this amount", ONLY_ONE))
        is_late = all(is_after_issue(receipt, each) for each in invoices)
        parts.append(("after the invoice date", _IN_TIME) if is_late else ("before the invoice date", _BEFORE_ISSUE))
        if receipt.is_pending:
            parts.append(("not booked by the bank yet", _PENDING // 2))
        same_family = not payers or sum(each.points == payers[0].points for each in payers) == 1
        is_exact = amount.points >= CENTS  # without a number only an exact amount says which invoice
        is_like = payer is not None and payer.points < SAME_NAME and not receipt.amount % 10
        is_named = bool(number_points) and amount.points != OVER and not (others and amount.points == PART)
        is_theirs = same_family or (is_exact and bool(receipt.amount % 10))  # nobody else of that name owes as much
        is_slip = is_near and payer is not None and payer.points >= SAME_NAME
        is_unique = is_named or ((is_only or is_slip) and is_theirs and is_exact and not is_like)
        return Hypothesis(sum(points for _text, points in parts), invoices, amount, tuple(parts), is_unique)

    def _other_named(self, invoices: Sequence[OpenInvoice], hits: Iterable[NumberHit]) -> set[str]:
        """Return what the text names besides these invoices."""
        families = {each.family for each in invoices}
        return {hit.invoice_id for hit in hits if self._is_named(hit, families)} - {each.id for each in invoices}

    def _is_named(self, hit: NumberHit, families: Collection[str]) -> bool:
        """Return whether a payer of these families may well have meant an invoice."""
        return hit.points >= NAMED or (hit.points >= VAGUE and self._family_of[hit.invoice_id] in families)
