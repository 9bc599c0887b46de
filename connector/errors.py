"""Errors that every door answers alike: what is not there, and what cannot be done."""

from __future__ import annotations


class NotFound(Exception):
    """There is no such thing, or the person asking may not see it: both get the same reply."""


class NotPossible(Exception):
    """A request that cannot be carried out; ``str()`` says why."""


class Busy(Exception):
    """A request that is not carried out because too many others wait; ``str()`` says so."""


class InvalidField(NotPossible):
    """A field of a form that cannot be used; ``field`` is its name, ``str()`` says what it needs."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
