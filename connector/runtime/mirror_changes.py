"""What a run changes in its company's mirror, as far as it is known whose: so that only they are decided about."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class MirrorChanges:
    """The customers and invoices of the pages that a run has stored.

    ``versions`` is how often the run has raised the version of the mirror for them. ``is_unclear`` is set where a page
    had something whose effects are not followed up: deletions, merges, unreadable records.
    """

    customer_ids: set[str] = field(default_factory=set)
    invoice_ids: set[str] = field(default_factory=set)
    versions: int = 0
    is_unclear: bool = False

    def explain(self, before: int, now: int) -> bool:
        """Return whether all that has changed between two versions of the mirror is known."""
        return not self.is_unclear and 0 < self.versions == now - before
