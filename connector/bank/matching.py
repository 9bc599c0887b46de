"""Which open invoices money on a statement pays: pure, and each score can be read part by part.

First the money that the ledger shows already is taken out, or a payment of May that is booked would hold an invoice of
June. Then what names an invoice is matched, then what only a payer and an amount tell. Nothing is sure that is not the
only way to read a payment.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import NamedTuple

from connector.bank.facts import LedgerPayment, Match, MatchFacts, MatchResult, OpenInvoice, Receipt, Share
from connector.bank.ledger_payments import LedgerPayments
from connector.bank.names import ONE_WORD, NameIndex, is_institution, normalise_name
from connector.bank.near_numbers import is_nearly_written, number_tokens
from connector.bank.number_index import NAMED, VAGUE, NumberHit, NumberIndex
from connector.vocabulary import MatchCertainty

SURE, PROBABLE = 75, 40  # the least scores
LEAD = 12  # what is sure is so far ahead of the next customer
_EXACT, _DISCOUNT, _CHARGES, _CENTS, _PART, _OVER = 30, 27, 24, 26, 8, 6
_LEARNED, _SAME_NAME, _LIKE_NAME, _NAMED_IN_TEXT, _ONE_WORD = 35, 28, 25, 22, 20
_ONLY_ONE, _IN_TIME, _NEARLY = 17, 5, 18
_OTHER_PAYER, _OTHER_NUMBER, _BEFORE_ISSUE, _PENDING = -30, -20, -30, -40
_CHARGE_MAX, _CHARGE_SHARE = Decimal(45), Decimal("0.05")
_CENTS_MAX = Decimal("0.05")
_DISCOUNT_GRACE_DAYS = 5
_SEARCHED, _TOGETHER = 14, 4  # how many open invoices are tried in combinations, and how many together
_POSSIBLE_MAX = 24  # invoices that one payment may be for
_RARE_MAX = 3  # an amount of more invoices says nothing on its own
_AMOUNTS_MAX, _LIKE_MAX = 40, 40  # amounts, and invoices of each, whose numbers are compared with a text
_ZERO = Decimal(0)


class _Payer(NamedTuple):
    """A family that may have paid, how strongly, and why."""

    family: str
    points: int
    reason: str


class _Amount(NamedTuple):
    """How an amount fits invoices."""

    points: int
    reason: str
    settles: bool


class _Hypothesis(NamedTuple):
    score: int
    invoices: tuple[OpenInvoice, ...]
    amount: _Amount
    parts: tuple[tuple[str, int], ...]
    is_unique: bool
    is_likely: bool = False  # of the payer's own invoices, or of this very amount: a number may be mistyped


def _likely(hypothesis: _Hypothesis) -> _Hypothesis:
    return hypothesis._replace(score=max(hypothesis.score, PROBABLE), is_likely=True)


def _ranked(hypotheses: Iterable[_Hypothesis]) -> list[_Hypothesis]:
    return sorted(hypotheses, key=lambda each: (-each.score, [one.id for one in each.invoices]))


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
        self._written: list[str] = []  # what may be numbers in the text of the receipt at hand
        self._invoices = {each.id: each for each in facts.invoices}
        self._due = {each.id: each.due for each in facts.invoices}
        for share in facts.confirmed:
            if share.invoice_id in self._due:
                self._take(share)
        self._family_of = {each.id: each.family for each in facts.invoices}
        self._family_of |= {invoice_id: family for invoice_id, _number, family in facts.closed}
        numbers = [(each.id, each.number) for each in facts.invoices]
        self._numbers = NumberIndex([*numbers, *((each, number) for each, number, _family in facts.closed)])
        self._names = NameIndex(facts.names)
        self._by_family: defaultdict[tuple[str, str], list[OpenInvoice]] = defaultdict(list)
        self._by_amount: defaultdict[tuple[str, Decimal], list[OpenInvoice]] = defaultdict(list)
        for each in sorted(facts.invoices, key=lambda one: (one.due_on or one.issued_on, one.id)):
            self._by_family[each.family, each.currency].append(each)
            self._by_amount[each.currency, each.due].append(each)
            if each.discount:
                self._by_amount[each.currency, each.due - each.discount].append(each)
        self._amounts: defaultdict[str, list[Decimal]] = defaultdict(list)
        for currency, amount in sorted(self._by_amount):
            self._amounts[currency].append(amount)
        self._sums: defaultdict[tuple[str, Decimal], list[tuple[OpenInvoice, ...]]] = defaultdict(list)
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
                        self._take(share)
        return MatchResult(tuple(matches), in_ledger, recognised)

    def _booked_parts(
        self, receipt: Receipt, hits: Sequence[NumberHit], families: Collection[str]
    ) -> list[LedgerPayment]:
        """Return the payments of some of the invoices that money is for: the rest is not booked yet, or was later."""
        named = {hit.invoice_id for hit in hits if hit.points >= NAMED}
        paid = named | self._facts.were_sure.get(receipt.id, frozenset())
        if len(paid) < 2 or receipt.is_pending:
            return []
        due = sum((self._due[each] for each in paid if each in self._due), _ZERO)
        return self._payments.take_parts(receipt, families, paid, due)

    def _take(self, share: Share) -> None:
        left = self._due[share.invoice_id] - share.amount
        self._due[share.invoice_id] = _ZERO if share.settles else max(left, _ZERO)

    def _families(self, receipt: Receipt, hits: Sequence[NumberHit]) -> set[str]:
        """Return who may have paid, by payer and by the invoices that are named."""
        found = {each.family for each in self._payers(receipt)}
        return found | {self._family_of[hit.invoice_id] for hit in hits if hit.points >= NAMED}

    def _payers(self, receipt: Receipt) -> list[_Payer]:
        """Return who may have paid: by what is known of the account or the name, else by likeness of names."""
        account, name = receipt.payer_account, normalise_name(receipt.payer)
        refused = self._facts.not_payers.get(account, set()) | self._facts.not_payers.get(name, set())
        likes = [each for each in self._names.find(receipt.payer) if each.customer not in refused] if name else []
        same = {each.customer for each in likes if each.likeness >= 1}
        for key, what in ((account, "account"), (name, "payer")):
            known = self._facts.payers.get(key, set()) - refused if key else set()
            if known:  # the account of a payment service is several customers': the name decides, or nothing
                families = known & same or known | same
                return [_Payer(each, _LEARNED, f"{what} known from earlier payments") for each in sorted(families)]
        if not likes:  # somebody pays for a customer, and says so
            named = self._names.find_in_text(receipt.text) - refused
            return [_Payer(each, _NAMED_IN_TEXT, "the text names them") for each in sorted(named)]
        return [
            _Payer(each.customer, _SAME_NAME, "same name as the payer")
            if each.likeness >= 1
            else _Payer(each.customer, _ONE_WORD, "one word of the payer's name")
            if each.likeness <= ONE_WORD
            else _Payer(each.customer, _LIKE_NAME, "name like the payer's")
            for each in likes
        ]

    def _match_one(self, receipt: Receipt, hits: Sequence[NumberHit]) -> Match | None:
        payers = self._payers(receipt)
        self._written = number_tokens(f"{receipt.text} {receipt.reference}")
        found = _ranked(self._from_numbers(receipt, hits, payers))
        if not self._is_sure(receipt, found):
            found = _ranked([*found, *self._from_payers(receipt, hits, payers)])
        if not self._is_sure(receipt, found):
            every = self._numbers.find(receipt.text, receipt.reference, every=True)
            others = self._from_numbers(receipt, every, payers) if len(every) > len(hits) else ()
            is_known = any(each.points >= _SAME_NAME for each in payers) or is_institution(receipt.payer)
            found = _ranked([*found, *others, *self._from_amount(receipt, is_known=is_known)])
        is_sure = self._is_sure(receipt, found)
        if not found or found[0].score < PROBABLE:
            return None
        best = found[0]
        certainty = MatchCertainty.SURE if is_sure else MatchCertainty.PROBABLE
        shares = self._shares(receipt, best) if is_sure else self._possible_shares(receipt, found)
        return Match(receipt.id, certainty, min(best.score, 100), best.parts, shares) if shares else None

    def _is_sure(self, receipt: Receipt, found: Sequence[_Hypothesis]) -> bool:
        """Return whether the best reading is good enough, and far enough ahead of all others."""
        if not found or found[0].score < SURE or not found[0].is_unique or receipt.is_pending:
            return False
        best = found[0]
        rivals = [each for each in found[1:] if {one.id for one in each.invoices} != {one.id for one in best.invoices}]
        return not rivals or best.score - rivals[0].score >= LEAD

    def _shares(self, receipt: Receipt, best: _Hypothesis) -> tuple[Share, ...]:
        """Split an amount among its invoices, the oldest first."""
        left, shares = receipt.amount, []
        for each in best.invoices:
            due = self._due[each.id]
            paid = min(left, due)
            if paid > 0:
                shares.append(Share(each.id, each.customer_id, paid, best.amount.settles))
                left -= paid
        return tuple(shares)

    def _possible_shares(self, receipt: Receipt, found: Sequence[_Hypothesis]) -> tuple[Share, ...]:
        """Return every invoice that the money may be for: readings nearly as good as the best, and all of the payer.

        A number with a typing error is somebody else's: what the payer owes may be meant as well.
        """
        near = [
            each for each in found if each.score >= PROBABLE and (each.is_likely or found[0].score - each.score < LEAD)
        ]
        shares: dict[str, Share] = {}
        for hypothesis in near:
            for each in hypothesis.invoices:
                amount = min(receipt.amount, self._due[each.id])
                if amount > 0:
                    shares.setdefault(each.id, Share(each.id, each.customer_id, amount, settles=False))
        return tuple(shares.values())[:_POSSIBLE_MAX]

    def _open(self, family: str, currency: str, receipt: Receipt) -> list[OpenInvoice]:
        return [each for each in self._by_family.get((family, currency), ()) if self._is_payable(each, receipt)]

    def _is_payable(self, invoice: OpenInvoice, receipt: Receipt) -> bool:
        is_rejected = (receipt.id, invoice.id) in self._facts.rejected
        return invoice.currency == receipt.currency and self._due[invoice.id] > 0 and not is_rejected

    def _from_numbers(
        self, receipt: Receipt, hits: Sequence[NumberHit], payers: Sequence[_Payer]
    ) -> Iterable[_Hypothesis]:
        """Yield what the named invoices allow: all of them together, those of one family, and each alone."""
        named = [(self._invoices[hit.invoice_id], hit) for hit in hits if hit.invoice_id in self._invoices]
        named = [(invoice, hit) for invoice, hit in named if self._is_payable(invoice, receipt)]
        if not named:
            return
        named.sort(key=lambda each: (each[0].due_on or each[0].issued_on, each[0].id))
        groups = {(invoice.family,): None for invoice, _hit in named}
        for (family,) in groups:
            group = [(invoice, hit) for invoice, hit in named if invoice.family == family]
            for some in self._selections(receipt, group):
                invoices = tuple(one for one, _hit in some)
                points, text = min(hit.points for _one, hit in some), some[0][1].text
                yield self._hypothesis(receipt, invoices, payers, points, text, hits)
                whole = self._completed(receipt, family, invoices) if family in {each.family for each in payers} else ()
                if whole:
                    yield self._hypothesis(receipt, whole, payers, points, text, hits)

    def _selections(
        self, receipt: Receipt, group: list[tuple[OpenInvoice, NumberHit]]
    ) -> Iterable[list[tuple[OpenInvoice, NumberHit]]]:
        """Yield the invoices of a family that are named: all of the strongest, and each alone where only it fits."""
        strongest = max(hit.points for _invoice, hit in group)
        strong = [each for each in group if each[1].points >= min(strongest, NAMED)]
        if len(strong) > 1:
            yield strong
            if self._fit(receipt, [invoice for invoice, _hit in strong]).points >= _CHARGES:
                return
        for each in strong:
            if len(strong) == 1 or self._fit(receipt, [each[0]]).points >= _CHARGES:
                yield [each]

    def _completed(self, receipt: Receipt, family: str, named: tuple[OpenInvoice, ...]) -> tuple[OpenInvoice, ...]:
        """Return what a payer pays who names some of their invoices: those and the only others that make the sum."""
        rest = receipt.amount - self._total(named)
        if rest <= 0:
            return ()
        others = [each for each in self._open(family, receipt.currency, receipt) if each not in named][:_SEARCHED]
        found = [
            some
            for count in range(1, _TOGETHER)
            for some in combinations(others, count)
            if self._total(some) == rest and all(self._is_after_issue(receipt, each) for each in some)
        ]
        return (*named, *found[0]) if len(found) == 1 else ()

    def _from_payers(
        self, receipt: Receipt, hits: Sequence[NumberHit], payers: Sequence[_Payer]
    ) -> Iterable[_Hypothesis]:
        """Yield what the payer's open invoices allow: one, several together, or a sum on account."""
        for payer in payers:
            owed = self._open(payer.family, receipt.currency, receipt)
            fitting = list(self._fitting(receipt, owed))
            for invoices in fitting:
                found = self._hypothesis(receipt, invoices, payers, 0, "", hits, is_only=len(fitting) == 1)
                is_late = all(self._is_after_issue(receipt, each) for each in invoices)
                is_theirs = payer.points >= _LIKE_NAME and is_late and not receipt.is_pending
                yield _likely(found) if is_theirs else found
            if owed and (not fitting or len(fitting) > 1 or self._fit(receipt, fitting[0]).points < _EXACT):
                on_account = self._hypothesis(receipt, tuple(owed), payers, 0, "", hits)
                is_theirs = payer.points >= _LIKE_NAME or len(payers) == 1  # their money, whatever it is for
                yield _likely(on_account) if is_theirs else on_account

    def _fitting(self, receipt: Receipt, owed: Sequence[OpenInvoice]) -> Iterable[tuple[OpenInvoice, ...]]:
        """Yield the invoices, one or together, that an amount pays in full; else those it pays less a deduction."""
        exact: list[tuple[OpenInvoice, ...]] = [(each,) for each in owed if self._due[each.id] == receipt.amount]
        some = owed[:_SEARCHED]
        for count in range(2, min(_TOGETHER, len(some)) + 1):
            exact += [each for each in combinations(some, count) if self._total(each) == receipt.amount]
        for count in range(_TOGETHER + 1, len(owed) + 1):  # everything up to a day
            if self._total(owed[:count]) == receipt.amount:
                exact.append(tuple(owed[:count]))
        if exact:
            yield from exact[:6]
            return
        for each in owed:
            if self._fit(receipt, [each]).points >= _CHARGES:
                yield (each,)
        if len(owed) > 1 and self._fit(receipt, owed).points >= _CHARGES:
            yield tuple(owed)

    def _from_amount(self, receipt: Receipt, *, is_known: bool) -> Iterable[_Hypothesis]:
        """Yield the invoices whose amount is nearly nobody else's, and those whose number is nearly written.

        Of a payer who is known, or an authority, the amount says nothing about customers' invoices.
        """
        if receipt.is_pending:
            return
        found = [each for each in self._of_about(receipt) if self._is_after_issue(receipt, each)]
        exact = [each for each in found if self._fit(receipt, [each]).points >= _DISCOUNT]
        is_rare = len(exact) <= _RARE_MAX and not is_known
        for each in found:
            amount = self._fit(receipt, [each])
            if is_rare and each in exact:
                what = "the only invoice with it" if len(exact) == 1 else "few invoices have it"
                parts = ((f"amount of {each.number or 'an invoice'} exactly", _EXACT), (what, _ONLY_ONE))
            elif amount.points >= _CHARGES and is_nearly_written(each.number, self._written):
                parts = ((f"names nearly {each.number}", _NEARLY), (amount.reason, amount.points))
            else:
                continue
            score = sum(points for _text, points in parts)
            yield _Hypothesis(score, (each,), amount, parts, is_unique=False, is_likely=True)
        if not exact and not is_known:
            yield from self._from_sum(receipt)

    def _from_sum(self, receipt: Receipt) -> Iterable[_Hypothesis]:
        """Yield the invoices of one customer, due one after another, that make an amount together."""
        if not self._sums:
            for (_family, currency), owed in self._by_family.items():
                for count in range(2, min(_TOGETHER, len(owed)) + 1):
                    for place in range(len(owed) - count + 1):
                        some = tuple(owed[place : place + count])
                        self._sums[currency, sum((each.due for each in some), _ZERO)].append(some)
        found = self._sums.get((receipt.currency, receipt.amount), [])
        is_rare = len(found) <= _RARE_MAX
        for some in found[:_LIKE_MAX]:
            if not is_rare and not any(is_nearly_written(each.number, self._written) for each in some):
                continue
            if all(self._is_payable(each, receipt) and self._is_after_issue(receipt, each) for each in some):
                amount = _Amount(_EXACT, f"sum of {len(some)} invoices exactly", settles=True)
                parts = ((amount.reason, _EXACT), ("few invoices have it", _ONLY_ONE))
                yield _Hypothesis(_EXACT + _ONLY_ONE, some, amount, parts, is_unique=False, is_likely=True)

    def _of_about(self, receipt: Receipt) -> list[OpenInvoice]:
        """Return the invoices of an amount, and of little more, which a bank's charge may have taken."""
        amounts = self._amounts[receipt.currency]
        first = bisect_left(amounts, receipt.amount)
        last = bisect_right(amounts, receipt.amount + min(_CHARGE_MAX, receipt.amount * _CHARGE_SHARE))
        places = range(first, min(last, first + _AMOUNTS_MAX))
        several = [self._by_amount[receipt.currency, amounts[place]] for place in places]
        return [each for some in several for each in some[:_LIKE_MAX] if self._is_payable(each, receipt)]

    def _hypothesis(
        self,
        receipt: Receipt,
        invoices: tuple[OpenInvoice, ...],
        payers: Sequence[_Payer],
        number_points: int,
        number: str,
        hits: Sequence[NumberHit] = (),
        *,
        is_only: bool = False,
    ) -> _Hypothesis:
        amount = self._fit(receipt, invoices)
        parts = (
            [(f"names {number}" if len(invoices) == 1 else f"names {len(invoices)} invoices", number_points)]
            if number_points
            else []
        )
        parts.append((amount.reason, amount.points))
        families = {each.family for each in invoices}
        payer = next((each for each in payers if each.family in families), None)
        if payer is not None:
            parts.append((payer.reason, payer.points))
        elif payers and not number_points:
            parts.append(("the payer is another customer", _OTHER_PAYER))
        elif payers and payers[0].points >= _SAME_NAME:
            fits = amount.points >= _CHARGES
            parts.append(("the payer is another customer", _OTHER_PAYER // 2 if fits else _OTHER_PAYER))
        others = {hit.invoice_id for hit in hits if self._is_named(hit, families)} - {each.id for each in invoices}
        is_near = (
            not number_points
            and payer is not None
            and len(invoices) == 1
            and not any(self._family_of[each] in families for each in others)  # theirs is written without a slip
            and amount.points >= _CHARGES
            and is_nearly_written(invoices[0].number, self._written)
        )
        if is_near:  # what is written is another's number, or nobody's, but for one slip
            parts.append((f"names nearly {invoices[0].number}", _NEARLY))
        elif others and not number_points:
            parts.append(("names another invoice", _OTHER_NUMBER))
        if is_only and amount.points >= _CHARGES:
            parts.append(("only one way to reach this amount", _ONLY_ONE))
        late = all(self._is_after_issue(receipt, each) for each in invoices)
        parts.append(("after the invoice date", _IN_TIME) if late else ("before the invoice date", _BEFORE_ISSUE))
        if receipt.is_pending:
            parts.append(("not booked by the bank yet", _PENDING // 2))
        same_family = sum(each.points == payers[0].points for each in payers) == 1 if payers else True
        is_exact = amount.points >= _CENTS  # without a number only an exact amount says which invoice
        is_like = payer is not None and payer.points < _SAME_NAME and not receipt.amount % 10
        is_named = bool(number_points) and amount.points != _OVER and not (others and not amount.settles)
        is_theirs = same_family or (is_exact and bool(receipt.amount % 10))  # nobody else of that name owes as much
        is_slip = is_near and payer is not None and payer.points >= _SAME_NAME
        is_unique = is_named or ((is_only or is_slip) and is_theirs and is_exact and not is_like)
        return _Hypothesis(sum(points for _text, points in parts), invoices, amount, tuple(parts), is_unique)

    def _is_named(self, hit: NumberHit, families: Collection[str]) -> bool:
        """Return whether a payer of these families may well have meant an invoice."""
        return hit.points >= NAMED or (hit.points >= VAGUE and self._family_of[hit.invoice_id] in families)

    def _is_after_issue(self, receipt: Receipt, invoice: OpenInvoice) -> bool:
        return (invoice.issued_on - receipt.booked_on).days <= 3

    def _total(self, invoices: Iterable[OpenInvoice]) -> Decimal:
        return sum((self._due[each.id] for each in invoices), _ZERO)

    def _fit(self, receipt: Receipt, invoices: Sequence[OpenInvoice]) -> _Amount:
        """Return how an amount fits the balance of some invoices."""
        total, paid = self._total(invoices), receipt.amount
        short = total - paid
        what = "amount of the invoice" if len(invoices) == 1 else f"sum of {len(invoices)} invoices"
        if short == 0:
            return _Amount(_EXACT, f"{what} exactly", settles=True)
        if receipt.charges and short == receipt.charges:
            return _Amount(_EXACT - 2, f"{what} less the charges that the bank names", settles=True)
        if short == self._discounts(invoices, receipt.booked_on) and short > 0:
            return _Amount(_DISCOUNT, f"{what} less the early payment discount", settles=True)
        if abs(short) <= _CENTS_MAX:
            return _Amount(_CENTS, f"{what} but for {abs(short)}", settles=True)
        if 0 < short <= _CHARGE_MAX and short <= total * _CHARGE_SHARE:
            return _Amount(_CHARGES, f"{what} less {short}, maybe a bank's charge", settles=True)
        if short > 0:
            return _Amount(_PART, f"a part of the {what}", settles=False)
        return _Amount(_OVER, f"more than the {what}", settles=True)

    def _discounts(self, invoices: Iterable[OpenInvoice], on: date) -> Decimal:
        found = _ZERO
        for each in invoices:
            until = each.discount_until_on
            if each.discount and until and (on - until).days <= _DISCOUNT_GRACE_DAYS:
                found += each.discount
        return found
