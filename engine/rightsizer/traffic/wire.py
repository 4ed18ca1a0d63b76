"""What engine and generator say to each other: JSON lines, and the values in them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rightsizer.protocols import ResponseCheck
from rightsizer.schedule import Level, Step


def line(kind: str, **values: Any) -> bytes:
    """One message."""
    return json.dumps({"kind": kind, **values}).encode() + b"\n"


def step_dict(step: Step) -> dict[str, Any]:
    """A step as JSON carries it."""
    return asdict(step)


def step_of(data: dict[str, Any]) -> Step:
    """A step from what `step_dict` gave."""
    tuples = {key: tuple(data[key]) for key in ("instants_s", "counts_per_min")}
    levels = tuple(Level(**level) for level in data["levels"])
    return Step(**{**data, **tuples, "levels": levels})


def check_of(data: dict[str, Any]) -> ResponseCheck:
    """A response check from its fields."""
    return ResponseCheck(**data)
