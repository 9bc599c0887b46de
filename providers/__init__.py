"""Connected services, one folder each: ledgers and mailers, behind the ports ``ledger.py`` and ``mailer.py``.

A ledger provider is a folder whose ``__init__`` exports ``PROVIDER``; adding one changes no other file. A provider of
your own is a package with the entry point ``duewell.ledgers``: see docs/adding-a-provider.md. Such an ``__init__``
imports its SDK only when it is used, so that listing the providers stays cheap. A mailer is a folder whose ``__init__``
exports ``MAILER``, a function of settings and calls; one that is a person's own mailbox, connected by OAuth, exports
``MAILBOX`` instead (``mailbox.py``).
"""

from __future__ import annotations

import pkgutil
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from providers.import_lock import IMPORT_LOCK

if TYPE_CHECKING:
    from providers.calls import CallObserver
    from providers.ledger import LedgerProvider
    from providers.mailbox import MailboxProvider
    from providers.mailer import Mailer


ENTRY_POINTS = "duewell.ledgers"


def list_ledger_names() -> list[str]:
    """Return the names of all ledger providers, sorted: our own and those of installed packages."""
    return sorted({*_builtin_names(), *_external_entry_points()})


def load_mailbox_providers() -> dict[str, MailboxProvider[Any]]:
    """Return the providers of mailboxes by name, sorted."""
    names = _names_with("MAILBOX")
    return {name: cast("MailboxProvider[Any]", _import_folder(name).MAILBOX) for name in names}


def list_mailer_names() -> list[str]:
    """Return the names of all that can send email, sorted: services, mailboxes and folders."""
    return sorted({*_names_with("MAILER"), *_names_with("MAILBOX")})


def _builtin_names() -> tuple[str, ...]:
    return _names_with("PROVIDER")


def _import_folder(name: str) -> ModuleType:
    with IMPORT_LOCK:
        return import_module(f"{__name__}.{name}")


@cache
def _names_with(export: str) -> tuple[str, ...]:
    folders = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    return tuple(name for name in sorted(folders) if hasattr(_import_folder(name), export))


def _external_entry_points() -> dict[str, EntryPoint]:
    return _entry_points_on(tuple(sys.path))


@cache
def _entry_points_on(_path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Find the providers of installed packages; the search opens the metadata of every package on the path."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def get_ledger_provider(name: str) -> LedgerProvider[Any]:
    """Return the ledger provider of this name. Raises ``LookupError`` if there is none."""
    if name in _builtin_names():  # ours first: no package can replace one of them
        return cast("LedgerProvider[Any]", _import_folder(name).PROVIDER)
    entry_point = _external_entry_points().get(name)
    if entry_point is None:
        message = f"there is no ledger {name!r}; choose one of {', '.join(list_ledger_names())}"
        raise LookupError(message)
    with IMPORT_LOCK:
        return cast("LedgerProvider[Any]", entry_point.load())


def build_mailer(name: str, settings: object, calls: CallObserver) -> Mailer:
    """Build the mailer of this name. Raises ``LookupError`` if there is none."""
    folders = {module.name for module in pkgutil.iter_modules(__path__) if module.ispkg}
    build = getattr(_import_folder(name), "MAILER", None) if name in folders else None
    if build is None:
        message = f"there is no mailer {name!r}"
        raise LookupError(message)
    return cast("Mailer", build(settings, calls))
