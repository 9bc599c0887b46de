"""Edit a policy document and keep its comments, order and layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import tomlkit
from tomlkit.container import Container, OutOfOrderTableProxy
from tomlkit.items import AbstractTable, Item, Key

from policies.document import KeyPath, format_key, format_value


def edit_document(text: str, changes: Mapping[KeyPath, object]) -> str:
    """Return the document with values set, or removed where the new value is ``None``.

    A table of the first level becomes a section, a table inside one an inline table. A customer policy is a section
    below ``policies``, and so are the tables inside it.
    """
    document = tomlkit.parse(text)
    first_lines = ""
    for path, value in changes.items():
        if value is None:
            _remove_value(document, path)
        elif len(path) == 1 and path[0] not in document and not isinstance(value, Mapping):
            first_lines += f"{format_key(path[0])} = {format_value(value)}\n"  # plain values stand before all sections
        else:
            _set_value(document, path, value)
    return first_lines + tomlkit.dumps(document)


def _set_value(document: Container, path: KeyPath, value: object) -> None:
    target: Container | AbstractTable = document
    for depth, key in enumerate(path[:-1], start=1):
        if key not in target:
            if not _is_section(path, depth):
                _append(target, key, tomlkit.value(format_value(_nested(path[depth:], value))))
                return
            target[key] = tomlkit.table(is_super_table=path[:depth] == ("policies",))
        target = cast("AbstractTable", target[key])
    item = tomlkit.value(format_value(value))
    if path[-1] in target:
        target[path[-1]] = item
    else:
        _append(target, path[-1], item)


def _is_section(path: KeyPath, depth: int) -> bool:
    """Return whether the table at the first ``depth`` keys of a path has a header of its own."""
    return depth <= (3 if path[0] == "policies" else 1)


def _nested(path: KeyPath, value: object) -> object:
    return {path[0]: _nested(path[1:], value)} if path else value


def _append(target: Container | AbstractTable, key: str, item: Item) -> None:
    """Add a value below the last one; the comment that follows belongs to the next section."""
    if isinstance(target, OutOfOrderTableProxy):  # the parts of one section stand apart
        target[key] = item
        return
    body = (target.value if isinstance(target, AbstractTable) else target).body
    trailing: list[tuple[Key | None, Item]] = []
    while body and body[-1][0] is None:
        trailing.append(body.pop())
    target.append(key, item)
    body.extend(reversed(trailing))


def _remove_value(document: Container, path: KeyPath) -> None:
    target: Container | AbstractTable = document
    for key in path[:-1]:
        if key not in target:
            return
        target = cast("AbstractTable", target[key])
    if path[-1] in target:
        target.remove(path[-1])
