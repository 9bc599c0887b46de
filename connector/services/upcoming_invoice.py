"""What an upcoming action means for one of its invoices: an email is about all that a customer owes in a currency."""

from __future__ import annotations

from connector.services.upcoming_actions import UpcomingAction
from policies.formatting import STEP_NAMES

_NAMED_MAX = 3


def about_one_invoice(item: UpcomingAction, invoice_id: str) -> UpcomingAction:
    """Return an action with what it has to do with one of its invoices, and with which others, in its reason."""
    lead_id = item.completed[0][0] if item.completed else next(iter(item.invoice_ids), "")
    lists_only = bool(item.completed) and invoice_id not in dict(item.completed)
    if invoice_id == lead_id:
        others = [name for one, name in zip(item.invoice_ids, item.invoices, strict=False) if one != invoice_id]
        others = [name for name in others if name not in item.reason]  # a task names all of its own
        note = f" Also about {_listed(others)}." if others else ""
    else:
        own = dict(item.completed).get(invoice_id)
        share = f"; for this one it is the {STEP_NAMES[own]}." if own else ", and only lists this one."
        note = f" It is one email for all of the customer's invoices{share}" if item.completed else ""
    return item.model_copy(update={"reason": f"{item.reason}{note}", "lists_only": lists_only})


def _listed(names: list[str]) -> str:
    """Return names in a sentence: ``INV-1, INV-2, INV-3 and 4 more``."""
    shown, more = names[:_NAMED_MAX], len(names) - _NAMED_MAX
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
