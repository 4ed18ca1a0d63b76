"""YAML (and so JSON) files as plain data that remembers its lines.

Every duplicate key is a problem, not only the first; integers remember how they were written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rightsizer.errors import InputError

MOST_VALUES = 300_000
"""Of one document, each alias counted as what it stands for."""

Location = tuple[str | int, ...]
"""Where a value stands in a document: keys and list indices from the root."""


class Strict(BaseModel):
    """Base of everything a user writes: no unknown keys, no coercion, no NaN, immutable."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True
    )


class WrittenInt(int):
    """An integer that remembers its text, so that an environment value stays as it was written."""

    text: str

    def __new__(cls, value: int, text: str) -> WrittenInt:
        self = super().__new__(cls, value)
        self.text = text
        return self

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Problem:
    """One thing wrong at one place of a document."""

    at: Location
    message: str
    line: int | None = None
    """Where it is not the line of the value at `at`."""


@dataclass
class Document:
    """A parsed file: its data, the line of each value, and the problems met while parsing."""

    path: Path
    data: Any
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def render(self, problems: Sequence[Problem]) -> list[str]:
        """Each problem as `file:line: field: message`, in the file's order, none twice."""
        located = {(p.line or self._line(p.at), dotted(p.at), p.message) for p in problems}
        return [
            f"{self.path}:{line}: {where + ': ' if where else ''}{message}"
            for line, where, message in sorted(located)
        ]

    def place(self, at: Location) -> str:
        """`file:line: field` of a value."""
        return f"{self.path}:{self._line(at)}: {dotted(at)}"

    def _line(self, at: Location) -> int:
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)


def dotted(at: Location) -> str:
    """`candidates[0].environment.OMP_NUM_THREADS`."""
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def read_document(path: Path) -> Document:
    """Parse one YAML or JSON file.

    Raises:
        InputError: it cannot be read, or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(
            f"cannot read {path}", why or str(error), "give the path of a file"
        ) from None
    return parse_document(path, text)


def parse_document(path: Path, text: str) -> Document:
    """Parse YAML or JSON; `path` names it in problems.

    Raises:
        InputError: it is not YAML.
    """
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        why = ", ".join(part for part in (error.context, error.problem) if part)
        raise InputError(f"{path}:{line}: not YAML", why, "mend the syntax there") from None
    except YAMLError as error:
        raise InputError(f"{path}: not YAML", str(error), "mend the syntax") from None
    except RecursionError:
        raise InputError(f"{path}: not usable", "it is nested too deeply", "flatten it") from None
    document = Document(path, None)
    try:
        document.data = None if node is None else _plain(node, (), document)
    except RecursionError:
        raise InputError(f"{path}: not usable", "an alias holds itself", "write it out") from None
    return document


def _plain(node: Node, at: Location, document: Document) -> Any:
    document.lines.setdefault(at, node.start_mark.line + 1)
    if len(document.lines) > MOST_VALUES:  # aliases of aliases double with every line
        why = f"it holds over {MOST_VALUES:,} values"
        raise InputError(f"{document.path}: not usable", why, "write it without aliases")
    if isinstance(node, MappingNode):
        return _mapping(node, at, document)
    if isinstance(node, SequenceNode):
        return [_plain(item, (*at, i), document) for i, item in enumerate(node.value)]
    assert isinstance(node, ScalarNode)
    return _scalar(node, at, document)


def _mapping(node: MappingNode, at: Location, document: Document) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
        here = (*at, key)
        if not isinstance(key_node, ScalarNode):
            document.problems.append(Problem(at, "a key must be a plain word"))
        elif key in data:
            message = f"duplicate key, first on line {document.lines[here]}; keep one"
            document.problems.append(Problem(here, message, line))
        else:
            document.lines[here] = line
            data[key] = _plain(value_node, here, document)
    return data


def _scalar(node: ScalarNode, at: Location, document: Document) -> Any:
    kind = str(node.tag).rsplit(":", 1)[-1]
    text = str(node.value)
    try:
        # JSON writes a character beyond U+FFFF as two escapes, which the parser leaves apart.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16")
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return WrittenInt(
                    int(text.replace("_", ""), 0 if re.search("0[box]", text) else 10), text
                )
            case "float":
                return float(
                    text.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan")
                )
    except ValueError:
        document.problems.append(Problem(at, f"cannot read {text!r} as {kind}; quote it"))
        return None
    return text


def problems_of(error: ValidationError, data: Any) -> list[Problem]:
    """Pydantic's complaints in this project's words, located in the user's document."""
    return [
        Problem(_user_path(item["loc"], data), _in_words(item))
        for item in error.errors(include_url=False)
        # A list whose items are wrong also counts as too short; the items say it better.
        if not (item["type"] == "too_short" and item["input"])
    ]


def _user_path(loc: tuple[str | int, ...], data: Any) -> Location:
    """Pydantic's location without what users never wrote: union branches and `[key]`."""
    at: list[str | int] = []
    here, union = data, None
    for i, part in enumerate(loc):
        last = i == len(loc) - 1
        if isinstance(here, dict):
            # A branch is named by its `type`, and comes before a key of that name: `users`.
            branch = at and not last and here is not union and part == here.get("type")
            union = here
            if branch or part == "[key]":
                continue
            here = here.get(str(part))
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            continue
        at.append(part)
    return tuple(at)


def _in_words(item: Any) -> str:
    ctx = item.get("ctx", {})
    given = item.get("input")
    match item["type"]:
        case "missing":
            return "required key is missing; add it"
        case "extra_forbidden":
            return "unknown key; remove it or mend its spelling"
        case "finite_number":
            return "must be a finite number"
        case "value_error":
            return str(ctx.get("error", item["msg"]))
        case "union_tag_invalid":
            return f"{ctx.get('tag')!r} is not one of {ctx.get('expected_tags')}"
        case "union_tag_not_found":
            return "required key is missing: type"
        case "model_type" | "dict_type" | "model_attributes_type":
            return "must be a mapping of keys to values"
        case "tuple_type":
            return "must be a list"
        case "too_short":
            return "must not be empty; list at least one"
        case "literal_error" | "enum":
            return f"{given!r} is not one of {ctx.get('expected')}"
    message = str(item["msg"]).removeprefix("Input ").removeprefix("Value error, ")
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool | None) else ""
    return message[:1].lower() + message[1:] + shown
