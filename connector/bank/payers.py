"""Who may have paid: by what is known of an account or a name, by likeness of names, or as a text says."""

from __future__ import annotations

from typing import NamedTuple

from connector.bank.facts import MatchFacts, Receipt
from connector.bank.names import ONE_WORD, NameIndex, normalise_name

_LEARNED, SAME_NAME, LIKE_NAME, _NAMED_IN_TEXT, _ONE_WORD = 35, 28, 25, 22, 20  # points for how a payer is known


class Payer(NamedTuple):
    """A family that may have paid, how strongly, and why."""

    family: str
    points: int
    reason: str


class Payers:
    """The customers of a company as payers."""

    def __init__(self, facts: MatchFacts) -> None:
        """Build from the names of customers and what was learned about payers."""
        self._facts = facts
        self._names = NameIndex(facts.names)

    def find(self, receipt: Receipt) -> list[Payer]:
        """Return who may have paid: by what is known of the account or the name, else by likeness of names."""
        account, name = receipt.payer_account, normalise_name(receipt.payer)
        refused = self._facts.not_payers.get(account, set()) | self._facts.not_payers.get(name, set())
        likes = [each for each in self._names.find(receipt.payer) if each.customer not in refused] if name else []
        same = {each.customer for each in likes if each.likeness >= 1}
        for key, what in ((account, "account"), (name, "payer")):
            known = self._facts.payers.get(key, set()) - refused if key else set()
            if known:  # the account of a payment service is several customers': the name decides, or nothing
                families = known & same or known | same
                return [Payer(each, _LEARNED, f"{what} known from earlier payments") for each in sorted(families)]
        if not likes:  # somebody pays for a customer, and says so
            named = self._names.find_in_text(receipt.text) - refused
            return [Payer(each, _NAMED_IN_TEXT, "the text names them") for each in sorted(named)]
        return [
            Payer(each.customer, SAME_NAME, "same name as the payer")
            if each.likeness >= 1
            else Payer(each.customer, _ONE_WORD, "one word of the payer's name")
            if each.likeness <= ONE_WORD
            else Payer(each.customer, LIKE_NAME, "name like the payer's")
            for each in likes
        ]
