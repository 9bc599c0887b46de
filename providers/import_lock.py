"""One lock for modules that are imported where they are first needed.

Syncs of several companies run in threads, and some packages (``holidays``, the accounting systems' SDKs) import their
own submodules in a circle. When one thread imports the package and another first asks for one of its submodules,
Python breaks the deadlock by handing one of them a half-loaded module: a ``KeyError`` or ``AttributeError`` in the
sync that came second. An import inside a function is therefore written ``with IMPORT_LOCK: from … import …``; once the
module is loaded that costs the lock and nothing more.
"""

from __future__ import annotations

from threading import RLock

IMPORT_LOCK = RLock()
"""Held by the thread that is importing; re-entrant, because a module's own import may need another late one."""
