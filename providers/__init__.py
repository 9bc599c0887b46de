"""Everything outside: ledgers and mailers, one folder each, behind the two ports ``ledger.py`` and ``mailer.py``.

A ledger provider is a folder here whose ``__init__`` exports ``PROVIDER``: a new one touches nothing else. Such an
``__init__`` imports its SDK only when it is used, so that looking around costs nothing. A mailer is a folder whose
``__init__`` exports ``MAILER``, a function of settings and calls.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from providers.ledger import Calls, LedgerProvider
    from providers.mailer import Mailer


def names() -> list[str]:
    """The names of the ledgers there are, sorted."""
    folders = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    return [name for name in folders if hasattr(import_module(f"{__name__}.{name}"), "PROVIDER")]


def find(name: str) -> LedgerProvider:
    """The ledger provider of this name. Raises ``LookupError`` if there is none."""
    known = names()
    if name not in known:
        message = f"no ledger is called {name!r}; there are: {', '.join(known)}"
        raise LookupError(message)
    return cast("LedgerProvider", import_module(f"{__name__}.{name}").PROVIDER)


def find_mailer(name: str, settings: Any, calls: Calls) -> Mailer:
    """Make the mailer of this name. Raises ``LookupError`` if there is none."""
    folders = {module.name for module in pkgutil.iter_modules(__path__) if module.ispkg}
    make = getattr(import_module(f"{__name__}.{name}"), "MAILER", None) if name in folders else None
    if make is None:
        message = f"no mailer is called {name!r}"
        raise LookupError(message)
    return cast("Mailer", make(settings, calls))
