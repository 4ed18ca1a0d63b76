"""Small arithmetic on names, as a knobs file writes it: `max(1, cores // 2)`, `A * B <= cores`.

Read with `ast` and walked by hand: nothing is ever evaluated by Python, and nothing but numbers,
names, + - * // %, min, max and comparisons is understood.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

MOST_CHARACTERS = 200
MOST_PARTS = 60
LARGEST = 1e12
"""Of any number on the way; larger ones are a slip of the pen."""

Number = int | float
_OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Number, Number], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: dict[str, Callable[..., Number]] = {"min": min, "max": max}


@dataclass(frozen=True)
class Expression:
    """A number, or with `is_test` a comparison."""

    text: str
    """As Python would write it: the same for `max(1,x)` and `max(1, x)`."""
    names: frozenset[str]
    is_test: bool
    _root: ast.expr

    def number(self, values: Mapping[str, Number]) -> Number:
        """Its value; raises ValueError where there is none: a division by 0, or too large."""
        return _number(self._root, values)

    def holds(self, values: Mapping[str, Number]) -> bool:
        """Whether the comparison is true; raises ValueError as `number`."""
        return all(compare(left, right) for left, compare, right in self._sides(values))

    def slack(self, values: Mapping[str, Number]) -> float:
        """What its `<=` and `>=` leave over, as a share of the larger side; 0 where all is used."""
        return sum(
            abs(right - left) / max(abs(left), abs(right))
            for left, compare, right in self._sides(values)
            if compare in (operator.le, operator.ge) and left != right
        )

    def wanted(self, names: Set[str]) -> str:
        """Which values of `names` would help it to hold: "smaller", "larger", "" where that is not
        plain. They are taken to be positive."""
        if not isinstance(self._root, ast.Compare) or len(self._root.ops) != 1:
            return ""
        sides = (self._root.left, self._root.comparators[0])
        own = [side for side in sides if names & _names(side)]
        if len(own) != 1 or not _rises(own[0]):
            return ""
        op = type(self._root.ops[0])
        if op not in (ast.Lt, ast.LtE, ast.Gt, ast.GtE):
            return ""
        return "smaller" if (op in (ast.Lt, ast.LtE)) == (own[0] is sides[0]) else "larger"

    def _sides(
        self, values: Mapping[str, Number]
    ) -> list[tuple[Number, Callable[[Number, Number], bool], Number]]:
        assert isinstance(self._root, ast.Compare)
        operands = (self._root.left, *self._root.comparators)
        numbers = [_number(operand, values) for operand in operands]
        compares = [_COMPARISONS[type(op)] for op in self._root.ops]
        return list(zip(numbers, compares, numbers[1:], strict=False))


def parse_expression(text: str) -> Expression:
    """Read an expression; raises ValueError with one line that says what it cannot hold."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"is longer than {MOST_CHARACTERS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            root = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError(f"{text!r} is no expression") from None
    if sum(1 for _ in ast.walk(root)) > MOST_PARTS:
        raise ValueError(f"{text!r} has too many parts")
    names: set[str] = set()
    is_test = isinstance(root, ast.Compare)
    for part in (root.left, *root.comparators) if isinstance(root, ast.Compare) else (root,):
        _check(part, names)
    if isinstance(root, ast.Compare) and not all(type(op) in _COMPARISONS for op in root.ops):
        raise ValueError(f"{text!r} compares in a way that is not known; use < <= > >= == !=")
    return Expression(ast.unparse(root), frozenset(names), is_test, root)


def _names(node: ast.expr) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _rises(node: ast.expr) -> bool:
    """Whether it only adds, multiplies, and takes the larger or smaller of positive numbers."""
    falling = ast.Sub | ast.USub | ast.FloorDiv | ast.Mod
    return not any(isinstance(part, falling) for part in ast.walk(node))


def _check(node: ast.expr, names: set[str]) -> None:
    """Refuse whatever is no arithmetic, and gather the names."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            _bounded(value)
        case ast.Name(id=name):
            names.add(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left, names)
            _check(right, names)
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as args, keywords=[]) if (
            name in _FUNCTIONS
        ):
            for arg in args:
                _check(arg, names)
        case _:
            raise ValueError(
                f"{ast.unparse(node)!r} is not understood; numbers, names, + - * // %, min(), "
                "max() are, and one comparison in `require`"
            )


def _number(node: ast.expr, values: Mapping[str, Number]) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(operand=operand):
            return -_number(operand, values)
        case ast.BinOp(left=left, op=op, right=right):
            try:
                return _bounded(_OPERATORS[type(op)](_number(left, values), _number(right, values)))
            except ZeroDivisionError:
                raise ValueError("a division by 0") from None
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    numbers = [_number(arg, values) for arg in node.args]
    return _FUNCTIONS[node.func.id](numbers)


def _bounded(value: Number) -> Number:
    if not abs(value) <= LARGEST:  # nor is NaN
        raise ValueError(f"a number over {LARGEST:g}")
    return value
