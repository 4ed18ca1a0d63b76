"""A knobs file, read: everything that is wrong in it at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from rightsizer.documents import (
    Document,
    Location,
    Problem,
    Strict,
    WrittenInt,
    dotted,
    problems_of,
)
from rightsizer.errors import ProblemsError
from rightsizer.expressions import Expression, parse_expression
from rightsizer.knobs import SIZE_NAMES, Knob, Knobs

RESERVED = (*SIZE_NAMES, "min", "max")
MOST_KNOBS = 32
MOST_VALUES = 16


def _written(value: Any) -> Any:
    """A number as it was written; anything else as it is, for the type to refuse."""
    if isinstance(value, WrittenInt):
        return value.text
    return str(value) if type(value) in (int, float) else value


Text = Annotated[str, BeforeValidator(_written)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class KnobSpec(Strict):
    """One variable: `values` are expressions, `texts` are taken as they are."""

    name: Name
    meaning: str = Field(min_length=1)
    values: tuple[Text, ...] = Field(default=(), strict=False, max_length=MOST_VALUES)
    texts: tuple[Text, ...] = Field(default=(), strict=False, max_length=MOST_VALUES)
    default: Text | None = None
    """What the server takes where the variable is not set."""
    interacts_with: tuple[str, ...] = Field(default=(), strict=False)
    only_with: dict[str, Text] = {}
    """It is set only where these have these values: elsewhere it changes nothing."""


class _KnobsFile(Strict):
    knobs: tuple[KnobSpec, ...] = Field(strict=False, min_length=1, max_length=MOST_KNOBS)
    require: tuple[str, ...] = Field(default=(), strict=False, max_length=MOST_KNOBS)


@dataclass(frozen=True)
class _Given:
    """A knob of the file, as far as it has the form of one."""

    at: Location
    spec: KnobSpec
    wrong: frozenset[str]
    """Its keys that are missing or have another form."""

    @property
    def name(self) -> str | None:
        """None: it has none that can be one."""
        return None if "name" in self.wrong else self.spec.name

    @property
    def has_values(self) -> bool:
        """Whether what it lists can be judged."""
        return not self.wrong & {"values", "texts"}


def parse_knobs(document: Document) -> Knobs:
    """Check a knobs file; raises ProblemsError with everything wrong in it.

    What has the form of a knob or a requirement is judged, whatever else is wrong.
    """
    problems = list(document.problems)
    data = document.data if document.data is not None else {}
    try:
        _KnobsFile.model_validate(data)
    except ValidationError as error:
        problems += problems_of(error, data)
    given = [found for i, item in enumerate(_listed(data, "knobs")) if (found := _given(i, item))]
    names = [one.name for one in given]
    knobs = []
    for one in given:
        problems += _name_problems(one, given)
        knobs.append(_read(one, problems))
    texts = [(("require", i), text) for i, text in enumerate(_listed(data, "require"))]
    require = _expressions(texts, problems)
    if given and None not in names:  # else a name may be one that is missing
        problems += _require_problems(require, knobs)
    problems += _dependency_problems(given, knobs)
    if problems:
        raise ProblemsError(document.render(problems))
    return Knobs(
        source=str(document.path),
        knobs=tuple(knobs),
        require=tuple(test for _, test in require),
        required_at=tuple(document.place(at) for at, _ in require),
    )


def _listed(data: Any, key: str) -> list[Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, list) else []


def _given(i: int, item: Any) -> _Given | None:
    """A knob without those of its keys that are wrong; None where it is no mapping at all."""
    if not isinstance(item, dict):
        return None
    wrong: set[str] = set()
    try:
        spec = KnobSpec.model_validate(item)
    except ValidationError as error:
        wrong = {str(one["loc"][0]) for one in error.errors()}
        rest = {key: value for key, value in item.items() if key not in wrong}
        spec = KnobSpec.model_validate({"name": "unnamed", "meaning": "unknown", **rest})
    return _Given(("knobs", i), spec, frozenset(wrong))


def _read(one: _Given, problems: list[Problem]) -> Knob:
    at, spec = one.at, one.spec
    if one.has_values and bool(spec.values) == bool(spec.texts):
        message = "give either values (expressions) or texts (taken as they are)"
        problems.append(Problem(at, message))
    listed = [((*at, "values", i), text) for i, text in enumerate(spec.values)]
    values = _expressions(listed, problems)
    for where, value in values:
        if value.is_test:
            problems.append(Problem(where, "a comparison belongs to require; give a number"))
        problems += _unknown(where, value.names - {*SIZE_NAMES}, SIZE_NAMES)
    written = spec.texts or tuple(value.text for _, value in values)
    if len(set(written)) < len(written):
        problems.append(Problem(at, "the same value is listed twice; keep one"))
    default = spec.default
    if default is not None and spec.values:
        default = _normal(default)
    if default is not None and default not in written and one.has_values:
        message = f"default {spec.default} is none of the values {', '.join(written)}; add it"
        problems.append(Problem((*at, "default"), message))
    return Knob(
        name=spec.name,
        meaning=spec.meaning,
        values=tuple(value for _, value in values),
        texts=spec.texts,
        default=default,
        interacts_with=spec.interacts_with,
        only_with=spec.only_with,
    )


def _normal(text: str) -> str:
    try:
        return parse_expression(text).text
    except ValueError:
        return text


def _expressions(
    texts: Iterable[tuple[Location, Any]], problems: list[Problem]
) -> list[tuple[Location, Expression]]:
    """Those that can be read; what is no text is told elsewhere."""
    found: list[tuple[Location, Expression]] = []
    for at, text in texts:
        try:
            if isinstance(text, str):
                found.append((at, parse_expression(text)))
        except ValueError as error:
            problems.append(Problem(at, str(error)))
    return found


def _unknown(at: Location, names: Iterable[str], known: Iterable[str]) -> list[Problem]:
    return [
        Problem(at, f"{name} is not known here; known are {', '.join(known)}")
        for name in sorted(names)
    ]


def _name_problems(one: _Given, given: Sequence[_Given]) -> list[Problem]:
    at, spec = one.at, one.spec
    first = next(other for other in given if other.name == one.name)
    problems = []
    if one.name is not None and first is not one:
        message = f"{spec.name} is {dotted(first.at)} already; keep one"
        problems.append(Problem((*at, "name"), message))
    if one.name in RESERVED:
        problems.append(Problem((*at, "name"), f"{spec.name} has a meaning of its own; rename it"))
    names = {other.name for other in given}
    for key, wanted in (("interacts_with", spec.interacts_with), ("only_with", spec.only_with)):
        for name in wanted:
            if name == one.name:
                problems.append(Problem((*at, key), "names the knob itself; remove it"))
            elif name not in names and None not in names:  # it may be the one without a name
                problems.append(Problem((*at, key), f"{name} is no knob of this file; add it"))
    return problems


def _require_problems(
    require: list[tuple[Location, Expression]], knobs: list[Knob]
) -> list[Problem]:
    problems = []
    numbers = list(dict.fromkeys([*(k.name for k in knobs if not k.texts), *SIZE_NAMES]))
    for at, test in require:
        if not test.is_test:
            message = "is no comparison; write one, such as WORKERS * THREADS <= cores"
            problems.append(Problem(at, message))
        texts = {knob.name for knob in knobs if knob.texts} & test.names
        if test.names <= {*SIZE_NAMES}:
            problems.append(Problem(at, "names no knob of this file; it would ask nothing"))
        problems += [
            Problem(at, f"{name} has texts, which are not compared; give it values")
            for name in sorted(texts)
        ]
        problems += _unknown(at, test.names - texts - {*numbers}, numbers)
    return problems


def _dependency_problems(given: Sequence[_Given], knobs: Sequence[Knob]) -> list[Problem]:
    both = list(zip(given, knobs, strict=True))
    by_name = {one.name: knob for one, knob in both if one.has_values}
    problems = []
    for one, knob in both:
        for name, value in knob.only_with.items():
            other = by_name.get(name)
            if other is not None and value not in (named := other.texts or _constants(other)):
                message = f"{name} is never {value}; its values are {', '.join(other.written)}"
                if value in other.written:
                    plain = f"name one that is ({', '.join(named)}), " if named else ""
                    message = f"{name}: {value} is no plain number; {plain}or give {name} texts"
                problems.append(Problem((*one.at, "only_with"), message))
            if other is not None and other.only_with:
                message = f"{name} depends on others itself; name those instead"
                problems.append(Problem((*one.at, "only_with"), message))
    return problems


def _constants(knob: Knob) -> tuple[str, ...]:
    """Values that are the same on every type, as they are measured."""
    plain = [value for value in knob.values if not value.names and not value.is_test]
    return tuple(value.text for value in plain if value.text == _measured(value))


def _measured(value: Expression) -> str | None:
    try:
        return f"{value.number({}):.12g}"
    except ValueError:
        return None
