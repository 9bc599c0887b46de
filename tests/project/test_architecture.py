"""What import-linter cannot check: the policy does no I/O, and files stay small and well named."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("connector", "providers", "policies")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


POLICY_LIBRARIES = {"dateutil", "pydantic", "pydantic_core", "tomlkit"}  # none of them does I/O


def test_the_policy_imports_the_standard_library_and_libraries_that_do_no_io() -> None:
    allowed = sys.stdlib_module_names | {"policies"} | POLICY_LIBRARIES
    foreign = {
        f"{path.name}: {name}"
        for path in sources("policies")
        for name in imported(path)
        if name.split(".")[0] not in allowed
    }
    assert foreign == set()


def test_the_policy_reads_no_clock_no_environment_and_no_network() -> None:
    outside = {"os", "socket", "sqlite3", "subprocess", "time", "urllib", "http", "random", "secrets"}
    found = {
        f"{path.name}: {name}"
        for path in sources("policies")
        for name in imported(path)
        if name.split(".")[0] in outside
    }
    assert found == set()


def test_every_file_starts_with_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT)) for path in sources(*PACKAGES) if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_no_file_is_named_utils_or_helpers() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert [path.name for path in sources(*PACKAGES) if path.stem in vague] == []


def test_no_function_is_longer_than_sixty_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for path in sources(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno + 1 > 60
    ]
    assert long == []


def late_imports(path: Path) -> Iterator[int]:
    """Yield the lines of imports inside functions that do not hold the lock of late imports."""

    def walk(node: ast.AST, *, inside: bool, held: bool) -> Iterator[int]:
        if isinstance(node, ast.Import | ast.ImportFrom) and inside and not held:
            yield node.lineno
        if isinstance(node, ast.With):
            held |= any(
                isinstance(item.context_expr, ast.Name) and item.context_expr.id == "IMPORT_LOCK" for item in node.items
            )
        inside |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside=inside, held=held)

    return walk(ast.parse(path.read_text()), inside=False, held=False)


def test_an_import_inside_a_function_holds_the_lock_because_syncs_run_in_threads() -> None:
    commands = ROOT / "connector" / "cli"  # these load what they need before they start any thread
    files = [path for path in sources(*PACKAGES) if commands not in path.parents]
    found = [f"{path.relative_to(ROOT)}:{line}" for path in files for line in late_imports(path)]
    assert found == []
