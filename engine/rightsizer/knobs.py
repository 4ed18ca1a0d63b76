"""A knobs file: which environment variables of a server may be swept, and over which values.

Values are expressions of the instance type's size, so that one file fits all types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from rightsizer.documents import Document, Location, Problem, Strict, WrittenInt, problems_of
from rightsizer.errors import ProblemsError
from rightsizer.expressions import Expression, parse_expression

SIZE_NAMES = ("cores", "cpus", "memory_gib", "accelerators")
RESERVED = (*SIZE_NAMES, "min", "max")
MOST_KNOBS = 32
MOST_VALUES = 16


@dataclass(frozen=True)
class Size:
    """What expressions know of an instance type: physical cores, vCPUs, memory, accelerators."""

    cores: int
    cpus: int
    memory_gib: float
    accelerators: int = 0


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
class Knob:
    """One variable, its expressions read. Either `values` or `texts` has something."""

    name: str
    meaning: str
    values: tuple[Expression, ...]
    texts: tuple[str, ...]
    default: str | None
    interacts_with: tuple[str, ...]
    only_with: Mapping[str, str]

    @property
    def written(self) -> tuple[str, ...]:
        """Its values as the file has them."""
        return self.texts or tuple(value.text for value in self.values)


@dataclass(frozen=True)
class Knobs:
    """A knobs file, checked."""

    source: str
    """The file, or the image's label."""
    knobs: tuple[Knob, ...]
    require: tuple[Expression, ...] = ()
    """All must hold of a combination whose variables they name are all set."""


def parse_knobs(document: Document) -> Knobs:
    """Check a knobs file; raises ProblemsError with everything wrong in it."""
    problems = list(document.problems)
    data = document.data if document.data is not None else {}
    try:
        file = _KnobsFile.model_validate(data)
    except ValidationError as error:
        problems += problems_of(error, data)
        raise ProblemsError(document.render(problems)) from None
    names = [knob.name for knob in file.knobs]
    knobs = []
    for i, spec in enumerate(file.knobs):
        problems += _name_problems(i, spec, names)
        knobs.append(_read(("knobs", i), spec, problems))
    require = _expressions(("require",), file.require, problems)
    problems += _require_problems(require, knobs)
    problems += _dependency_problems(knobs)
    if problems:
        raise ProblemsError(document.render(problems))
    return Knobs(str(document.path), tuple(knobs), tuple(e for _, e in require))


def _read(at: Location, spec: KnobSpec, problems: list[Problem]) -> Knob:
    if bool(spec.values) == bool(spec.texts):
        message = "give either values (expressions) or texts (taken as they are)"
        problems.append(Problem(at, message))
    values = _expressions((*at, "values"), spec.values, problems)
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
    if default is not None and default not in written:
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
    at: Location, texts: Iterable[str], problems: list[Problem]
) -> list[tuple[Location, Expression]]:
    found: list[tuple[Location, Expression]] = []
    for i, text in enumerate(texts):
        try:
            found.append(((*at, i), parse_expression(text)))
        except ValueError as error:
            problems.append(Problem((*at, i), str(error)))
    return found


def _unknown(at: Location, names: Iterable[str], known: Iterable[str]) -> list[Problem]:
    return [
        Problem(at, f"{name} is not known here; known are {', '.join(known)}")
        for name in sorted(names)
    ]


def _name_problems(i: int, spec: KnobSpec, names: list[str]) -> list[Problem]:
    at: Location = ("knobs", i)
    problems = []
    if names.index(spec.name) != i:
        first = names.index(spec.name)
        problems.append(Problem((*at, "name"), f"{spec.name} is knobs[{first}] already; keep one"))
    if spec.name in RESERVED:
        problems.append(Problem((*at, "name"), f"{spec.name} has a meaning of its own; rename it"))
    others = [name for name in names if name != spec.name]
    for key, given in (("interacts_with", spec.interacts_with), ("only_with", spec.only_with)):
        for name in given:
            if name == spec.name:
                problems.append(Problem((*at, key), "names the knob itself; remove it"))
            elif name not in others:
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


def _dependency_problems(knobs: list[Knob]) -> list[Problem]:
    by_name = {knob.name: knob for knob in knobs}
    problems = []
    for i, knob in enumerate(knobs):
        for name, value in knob.only_with.items():
            other = by_name.get(name)
            if other is not None and value not in (named := other.texts or _constants(other)):
                message = f"{name} is never {value}; its values are {', '.join(other.written)}"
                if value in other.written:
                    plain = f"name one that is ({', '.join(named)}), " if named else ""
                    message = f"{name}: {value} is no plain number; {plain}or give {name} texts"
                problems.append(Problem(("knobs", i, "only_with"), message))
            if other is not None and other.only_with:
                message = f"{name} depends on others itself; name those instead"
                problems.append(Problem(("knobs", i, "only_with"), message))
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
