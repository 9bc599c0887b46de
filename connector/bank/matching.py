"""Which open invoices money on a statement pays: pure, and each score can be read part by part.

First the money that the ledger shows already is taken out, or a payment of May that is booked would hold an invoice of
June. Then what names an invoice is matched, then what only a payer and an amount tell. Nothing is sure that is not the
only way to read a payment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import combinations

from connector.bank.facts import LedgerPayment, Match, MatchFacts, MatchResult, OpenInvoice, Receipt, Share
from connector.bank.ledger_payments import LedgerPayments
from connector.bank.names import is_institution
from connector.bank.number_index import NAMED, NumberHit, NumberIndex
from connector.bank.open_items import (
    CHARGES,
    DISCOUNT,
    EXACT,
    SAME_AMOUNT_MAX,
    TOGETHER,
    AmountFit,
    OpenItems,
    is_after_issue,
)
from connector.bank.payers import LIKE_NAME, SAME_NAME, Payer, Payers
from connector.bank.scoring import NEARLY, ONLY_ONE, PROBABLE, SURE, Hypothesis, Scorer, as_likely, rank
from connector.vocabulary import MatchCertainty

LEAD = 12  # what is sure is so far ahead of the next customer
_SEARCHED = 14  # how many open invoices are tried in combinations
_POSSIBLE_MAX = 24  # invoices that one payment may be for
_RARE_MAX = 3  # an amount of more invoices says nothing on its own
_ENTERED = ("a deposit in the accounting system that is on no payment: it may be a cash sale", 0)
_ZERO = Decimal(0)


def match_receipts(receipts: Sequence[Receipt], facts: MatchFacts) -> MatchResult:
    """Match money that came in.

    Args:
        receipts: money that no person and no payment in the ledger has settled yet.
        facts: what customers owe, what is known of payers, and what the ledger shows.

    Returns:
        At most one match for each receipt; no invoice is surely paid twice.

    """
    return _Matcher(facts).match(sorted(receipts, key=lambda each: (each.booked_on, each.id)))


class _Matcher:
    def __init__(self, facts: MatchFacts) -> None:
        self._facts = facts
        self._items = OpenItems(facts)
        self._payers = Payers(facts)
        self._family_of = {each.id: each.family for each in facts.invoices}
        self._family_of |= {invoice_id: family for invoice_id, _number, family in facts.closed}
        numbers = [(each.id, each.number) for each in facts.invoices]
        self._numbers = NumberIndex([*numbers, *((each, number) for each, number, _family in facts.closed)])
        self._scorer = Scorer(self._items, self._family_of)
        self._payments = LedgerPayments(facts.payments)

    def match(self, receipts: Sequence[Receipt]) -> MatchResult:
        """Match receipts, the oldest first; see ``match_receipts``."""
        hits = {each.id: self._numbers.find(each.text, each.reference) for each in receipts}
        families = {each.id: self._families(each, hits[each.id]) for each in receipts}
        in_ledger: dict[int, str] = {}
        booked = [each for each in receipts if not each.is_pending]
        for each in [one for one in booked if families[one.id]] + [one for one in booked if not families[one.id]]:
            payment = self._payments.take(each, families[each.id])
            if payment:
                in_ledger[each.id] = payment
        rest: list[Receipt] = []
        for each in receipts:
            if each.id in in_ledger:
                continue
            parts = self._booked_parts(each, hits[each.id], families[each.id])
            unbooked = each.amount - sum((one.amount for one in parts), _ZERO)
            if unbooked > 0:
                rest.append(replace(each, amount=unbooked))
            else:
                in_ledger[each.id] = ",".join(one.id for one in parts)
        recognised = frozenset(each for each in in_ledger if families[each])
        left = [each for each in rest if not each.is_batch]
        named = [each for each in left if any(hit.points >= NAMED for hit in hits[each.id])]
        named_ids = {each.id for each in named}
        matches: list[Match] = []
        for each in [*named, *(one for one in left if one.id not in named_ids)]:
            match = self._match_one(each, hits[each.id])
            if match is not None:
                matches.append(match)
                if match.certainty is MatchCertainty.SURE:
                    for share in match.shares:
                        self._items.take(share)
        return MatchResult(tuple(matches), in_ledger, recognised)

    def _booked_parts(
        self, receipt: Receipt, hits: Sequence[NumberHit], families: Collection[str]
    ) -> list[LedgerPayment]:
        """Return the payments of some of the invoices that money is for: the rest is not booked yet, or was later."""
        named = {hit.invoice_id for hit in hits if hit.points >= NAMED}
        paid = named | self._facts.were_sure.get(receipt.id, frozenset())
        if len(paid) < 2 or receipt.is_pending:
            return []
        due = sum((self._items.due[each] for each in paid if each in self._items.due), _ZERO)
        return self._payments.take_parts(receipt, families, paid, due)

    def _families(self, receipt: Receipt, hits: Sequence[NumberHit]) -> set[str]:
        """Return who may have paid, by payer and by the invoices that are named."""
        found = {each.family for each in self._payers.find(receipt)}
        return found | {self._family_of[hit.invoice_id] for hit in hits if hit.points >= NAMED}

    def _match_one(self, receipt: Receipt, hits: Sequence[NumberHit]) -> Match | None:
        payers = self._payers.find(receipt)
        self._scorer.start(receipt)
        found = rank(self._from_numbers(receipt, hits, payers))
        if not self._is_sure(receipt, found):
            found = rank([*found, *self._from_payers(receipt, hits, payers)])
        if not self._is_sure(receipt, found):
            every = self._numbers.find(receipt.text, receipt.reference, every=True)
            others = self._from_numbers(receipt, every, payers) if len(every) > len(hits) else ()
            is_known = any(each.points >= SAME_NAME for each in payers) or is_institution(receipt.payer)
            found = rank([*found, *others, *self._from_amount(receipt, is_known=is_known)])
        is_sure = self._is_sure(receipt, found)
        if not found or found[0].score < PROBABLE:
            return None
        best = found[0]
        parts = (*best.parts, _ENTERED) if receipt.is_entered else best.parts
        certainty = MatchCertainty.SURE if is_sure else MatchCertainty.PROBABLE
        shares = self._shares(receipt, best) if is_sure else self._possible_shares(receipt, found)
        return Match(receipt.id, certainty, min(best.score, 100), parts, shares) if shares else None

    def _is_sure(self, receipt: Receipt, found: Sequence[Hypothesis]) -> bool:
        """Return whether the best reading is good enough, and far enough ahead of all others."""
        if not found or found[0].score < SURE or not found[0].is_unique or receipt.is_pending or receipt.is_entered:
            return False
        best = found[0]
        rivals = [each for each in found[1:] if {one.id for one in each.invoices} != {one.id for one in best.invoices}]
        return not rivals or best.score - rivals[0].score >= LEAD

    def _shares(self, receipt: Receipt, best: Hypothesis) -> tuple[Share, ...]:
        """Split an amount among its invoices, the oldest first."""
        left, shares = receipt.amount, []
        for each in best.invoices:
            due = self._items.due[each.id]
            paid = min(left, due)
            if paid > 0:
                shares.append(Share(each.id, each.customer_id, paid, best.amount.settles))
                left -= paid
        return tuple(shares)

    def _possible_shares(self, receipt: Receipt, found: Sequence[Hypothesis]) -> tuple[Share, ...]:
        """Return every invoice that the money may be for: readings nearly as good as the best, and all of the payer.

        A number with a typing error is somebody else's: what the payer owes may be meant as well.
        """
        near = [
            each for each in found if each.score >= PROBABLE and (each.is_likely or found[0].score - each.score < LEAD)
        ]
        shares: dict[str, Share] = {}
        for hypothesis in near:
            for each in hypothesis.invoices:
                amount = min(receipt.amount, self._items.due[each.id])
                if amount > 0:
                    shares.setdefault(each.id, Share(each.id, each.customer_id, amount, settles=False))
        return tuple(shares.values())[:_POSSIBLE_MAX]

    def _from_numbers(
        self, receipt: Receipt, hits: Sequence[NumberHit], payers: Sequence[Payer]
    ) -> Iterable[Hypothesis]:
        """Yield what the named invoices allow: all of them together, those of one family, and each alone."""
        named = [(self._items.invoices[hit.invoice_id], hit) for hit in hits if hit.invoice_id in self._items.invoices]
        named = [(invoice, hit) for invoice, hit in named if self._items.is_payable(invoice, receipt)]
        if not named:
            return
        named.sort(key=lambda each: (each[0].due_on or each[0].issued_on, each[0].id))
        groups = {(invoice.family,): None for invoice, _hit in named}
        for (family,) in groups:
            group = [(invoice, hit) for invoice, hit in named if invoice.family == family]
            for some in self._selections(receipt, group):
                invoices = tuple(one for one, _hit in some)
                points, text = min(hit.points for _one, hit in some), some[0][1].text
                yield self._scorer.score(receipt, invoices, payers, points, text, hits)
                whole = self._completed(receipt, family, invoices) if family in {each.family for each in payers} else ()
                if whole:
                    yield self._scorer.score(receipt, whole, payers, points, text, hits)

    def _selections(
        self, receipt: Receipt, group: list[tuple[OpenInvoice, NumberHit]]
    ) -> Iterable[list[tuple[OpenInvoice, NumberHit]]]:
        """Yield the invoices of a family that are named: all of the strongest, and each alone where only it fits."""
        strongest = max(hit.points for _invoice, hit in group)
        strong = [each for each in group if each[1].points >= min(strongest, NAMED)]
        if len(strong) > 1:
            yield strong
            if self._items.fit(receipt, [invoice for invoice, _hit in strong]).points >= CHARGES:
                return
        for each in strong:
            if len(strong) == 1 or self._items.fit(receipt, [each[0]]).points >= CHARGES:
                yield [each]

    def _completed(self, receipt: Receipt, family: str, named: tuple[OpenInvoice, ...]) -> tuple[OpenInvoice, ...]:
        """Return what a payer pays who names some of their invoices: those and the only others that make the sum."""
        rest = receipt.amount - self._items.total(named)
        if rest <= 0:
            return ()
        others = [each for each in self._items.of_family(family, receipt.currency, receipt) if each not in named][
            :_SEARCHED
        ]
        found = [
            some
            for count in range(1, TOGETHER)
            for some in combinations(others, count)
            if self._items.total(some) == rest and all(is_after_issue(receipt, each) for each in some)
        ]
        return (*named, *found[0]) if len(found) == 1 else ()

    def _from_payers(
        self, receipt: Receipt, hits: Sequence[NumberHit], payers: Sequence[Payer]
    ) -> Iterable[Hypothesis]:
        """Yield what the payer's open invoices allow: one, several together, or a sum on account."""
        for payer in payers:
            owed = self._items.of_family(payer.family, receipt.currency, receipt)
            fitting = list(self._fitting(receipt, owed))
            for invoices in fitting:
                found = self._scorer.score(receipt, invoices, payers, 0, "", hits, is_only=len(fitting) == 1)
                is_late = all(is_after_issue(receipt, each) for each in invoices)
                is_theirs = payer.points >= LIKE_NAME and is_late and not receipt.is_pending
                yield as_likely(found) if is_theirs else found
            if owed and (not fitting or len(fitting) > 1 or self._items.fit(receipt, fitting[0]).points < EXACT):
                on_account = self._scorer.score(receipt, tuple(owed), payers, 0, "", hits)
                is_theirs = payer.points >= LIKE_NAME or len(payers) == 1  # their money, whatever it is for
                yield as_likely(on_account) if is_theirs else on_account

    def _fitting(self, receipt: Receipt, owed: Sequence[OpenInvoice]) -> Iterable[tuple[OpenInvoice, ...]]:
        """Yield the invoices, one or together, that an amount pays in full; else those it pays less a deduction."""
        exact: list[tuple[OpenInvoice, ...]] = [(each,) for each in owed if self._items.due[each.id] == receipt.amount]
        some = owed[:_SEARCHED]
        for count in range(2, min(TOGETHER, len(some)) + 1):
            exact += [each for each in combinations(some, count) if self._items.total(each) == receipt.amount]
        for count in range(TOGETHER + 1, len(owed) + 1):  # everything up to a day
            if self._items.total(owed[:count]) == receipt.amount:
                exact.append(tuple(owed[:count]))
        if exact:
            yield from exact[:6]
            return
        for each in owed:
            if self._items.fit(receipt, [each]).points >= CHARGES:
                yield (each,)
        if len(owed) > 1 and self._items.fit(receipt, owed).points >= CHARGES:
            yield tuple(owed)

    def _from_amount(self, receipt: Receipt, *, is_known: bool) -> Iterable[Hypothesis]:
        """Yield the invoices whose amount is nearly nobody else's, and those whose number is nearly written.

        Of a payer who is known, or an authority, the amount says nothing about customers' invoices.
        """
        if receipt.is_pending:
            return
        found = [each for each in self._items.of_about(receipt) if is_after_issue(receipt, each)]
        exact = [each for each in found if self._items.fit(receipt, [each]).points >= DISCOUNT]
        is_rare = len(exact) <= _RARE_MAX and not is_known
        for each in found:
            amount = self._items.fit(receipt, [each])
            if is_rare and each in exact:
                what = "the only invoice with it" if len(exact) == 1 else "few invoices have it"
                parts = ((f"amount of {each.number or 'an invoice'} exactly", EXACT), (what, ONLY_ONE))
            elif amount.points >= CHARGES and self._scorer.is_nearly_written(each):
                parts = ((f"names nearly {each.number}", NEARLY), (amount.reason, amount.points))
            else:
                continue
            score = sum(points for _text, points in parts)
            yield Hypothesis(score, (each,), amount, parts, is_unique=False, is_likely=True)
        if not exact and not is_known:
            yield from self._from_sum(receipt)

    def _from_sum(self, receipt: Receipt) -> Iterable[Hypothesis]:
        """Yield the invoices of one customer, due one after another, that make an amount together."""
        found = self._items.runs_of(receipt)
        is_rare = len(found) <= _RARE_MAX
        for some in found[:SAME_AMOUNT_MAX]:
            if not is_rare and not any(self._scorer.is_nearly_written(each) for each in some):
                continue
            if all(self._items.is_payable(each, receipt) and is_after_issue(receipt, each) for each in some):
                amount = AmountFit(EXACT, f"sum of {len(some)} invoices exactly", settles=True)
                parts = ((amount.reason, EXACT), ("few invoices have it", ONLY_ONE))
                yield Hypothesis(EXACT + ONLY_ONE, some, amount, parts, is_unique=False, is_likely=True)
