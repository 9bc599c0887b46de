"""The mutants of a module: each is its source with one small thing changed, made by cosmic-ray's operators."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.provider import OperatorProvider

# One swap per operator, so that a comparison counts once for its boundary and once for its direction, not seven times.
_SWAPS = {
    *(f"ReplaceBinaryOperator_{swap}" for swap in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul")),
    *(f"ReplaceBinaryOperator_{swap}" for swap in ("Mod_Mul", "Pow_Mul", "BitOr_BitAnd", "BitAnd_BitOr")),
    *(f"ReplaceComparisonOperator_{swap}" for swap in ("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE")),
    *(f"ReplaceComparisonOperator_{swap}" for swap in ("GtE_Gt", "GtE_Lt", "Eq_NotEq", "NotEq_Eq")),
    *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
    *("ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not", "AddNot"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    *("ExceptionReplacer", "NumberReplacer", "RemoveDecorator"),
}
# What changes nothing that a test could see: mypy guards the first two; the others ask for a check, and for speed.
_KEYWORDS_LEFT_ALONE = {"frozen", "slots", "strict", "maxsize"}
_Position = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Where a module can be changed, and by which operator."""

    path: str
    operator: str
    occurrence: int


@dataclass(frozen=True)
class Mutant:
    """A module's source with one change: the changed line's number, and the line before and after."""

    path: str
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: `{self.before}` becomes `{self.after}`"


def draw(modules: Iterable[Path], sample: int, seed: int) -> tuple[list[Place], int]:
    """Return the places of all modules, or so many of them drawn by the seed, and the number of all."""
    every = [place for module in modules for place in _places(module)]
    if not 0 < sample < len(every):
        return every, len(every)
    drawn = random.Random(seed).sample(range(len(every)), sample)
    return [every[index] for index in sorted(drawn)], len(every)


def mutate(place: Place) -> Mutant | None:
    """Make the change, or return None where it changes nothing."""
    source = Path(place.path).read_text("utf-8")
    mutated = mutate_code(source, OperatorProvider()[place.operator](), place.occurrence)
    if mutated is None or mutated == source:
        return None
    before, after = source.splitlines(), mutated.splitlines()
    line = next(number for number, (old, new) in enumerate(zip(before, after, strict=False)) if old != new)
    return Mutant(place.path, line + 1, before[line].strip(), after[line].strip(), mutated)


def _places(path: Path) -> Iterator[Place]:
    source = path.read_text("utf-8")
    tree, nodes = ast.parse(source), list(ast_nodes(get_ast(source)))
    unobservable = list(_unobservable(tree))
    operations = [(_span(node.left)[1], _span(node.right)[0]) for node in ast.walk(tree) if isinstance(node, ast.BinOp)]
    operations += [_span(node) for node in ast.walk(tree) if isinstance(node, ast.AugAssign)]
    for name in sorted(_SWAPS):
        operator = OperatorProvider()[name]()
        positions = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, start in enumerate(positions):
            if _is_within(start, unobservable):
                continue
            if "Binary" in name and not _is_within(start, operations):
                continue  # a bare asterisk, or the stars of arguments
            yield Place(str(path), name, occurrence)


def _unobservable(tree: ast.Module) -> Iterator[tuple[_Position, _Position]]:
    """Yield where annotations stand, which nothing evaluates, and keywords that tests cannot see."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield _span(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns:
            yield _span(node.returns)
        elif isinstance(node, ast.keyword) and node.arg in _KEYWORDS_LEFT_ALONE:
            yield _span(node)


def _is_within(position: _Position, spans: Iterable[tuple[_Position, _Position]]) -> bool:
    return any(first <= position < last for first, last in spans)


def _span(node: ast.expr | ast.keyword | ast.AugAssign) -> tuple[_Position, _Position]:
    return (node.lineno, node.col_offset), (node.end_lineno or node.lineno, node.end_col_offset or 0)
