"""Everything outside: ledgers and mailers, one folder each, behind the two ports ``ledger.py`` and ``mailer.py``.

A ledger provider is a folder here whose ``__init__`` exports ``PROVIDER``: a new one touches nothing else. One of your
own is a package of yours with an entry point ``duewell.ledgers``; docs/adding-a-provider.md is the way there. Such an
``__init__`` imports its SDK only when it is used, so that looking around costs nothing. A mailer is a folder whose
``__init__`` exports ``MAILER``, a function of settings and calls.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from providers.ledger import CallObserver, LedgerProvider
    from providers.mailer import Mailer


ENTRY_POINTS = "duewell.ledgers"


def list_ledger_names() -> list[str]:
    """The names of the ledgers there are, sorted: our own, and those of installed packages."""
    return sorted({*_builtin_names(), *_external_entry_points()})


def _builtin_names() -> list[str]:
    folders = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    return [name for name in folders if hasattr(import_module(f"{__name__}.{name}"), "PROVIDER")]


def _external_entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def get_ledger_provider(name: str) -> LedgerProvider:
    """The ledger provider of this name. Raises ``LookupError`` if there is none."""
    if name in _builtin_names():  # ours first: no package takes the place of one of them
        return cast("LedgerProvider", import_module(f"{__name__}.{name}").PROVIDER)
    outside = _external_entry_points().get(name)
    if outside is None:
        message = f"no ledger is called {name!r}; there are: {', '.join(list_ledger_names())}"
        raise LookupError(message)
    return cast("LedgerProvider", outside.load())


def build_mailer(name: str, settings: Any, calls: CallObserver) -> Mailer:
    """Make the mailer of this name. Raises ``LookupError`` if there is none."""
    folders = {module.name for module in pkgutil.iter_modules(__path__) if module.ispkg}
    make = getattr(import_module(f"{__name__}.{name}"), "MAILER", None) if name in folders else None
    if make is None:
        message = f"no mailer is called {name!r}"
        raise LookupError(message)
    return cast("Mailer", make(settings, calls))
