"""Which environment variables of a server may be swept, and over which values.

Values are expressions of the instance type's size, so that one knobs file fits all types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rightsizer.expressions import Expression

SIZE_NAMES = ("cores", "cpus", "memory_gib", "accelerators")


@dataclass(frozen=True)
class Size:
    """What expressions know of an instance type: physical cores, vCPUs, memory, accelerators."""

    cores: int
    cpus: int
    memory_gib: float
    accelerators: int = 0


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
    required_at: tuple[str, ...] = ()
    """Where each of them stands: file, line and field."""
