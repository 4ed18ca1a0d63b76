"""A job whose every word from outside tries to be markup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

from rightsizer.results import Job

HOSTILE = (
    "\"'`><script>alert(1)</script><img src=x onerror=alert(1)></style></svg>{{7*7}}&lt;\x1b[31m"
)
OWN_WORDS = {
    "status", "severity", "basis", "max_kind", "percentile", "mode", "verdict", "stage", "state",
    "protocol", "id", "candidate_id", "trial_id",
}  # fmt: skip
"""Fields of the program's own words, which the page tells cases by, and ids that join records."""


def poisoned(job: Job) -> Job:
    """Every other text of the job, keys of mappings included, with the hostile one behind it."""
    found: Job = _poisoned(job)
    return found


def _poisoned(value: Any) -> Any:
    match value:
        case Enum():
            return value
        case str():
            return value + HOSTILE
        case Mapping():
            return {_key(k): v if k in OWN_WORDS else _poisoned(v) for k, v in value.items()}
        case tuple() | list():
            return type(value)(_poisoned(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value) if field.name not in OWN_WORDS]
        return replace(value, **{name: _poisoned(getattr(value, name)) for name in names})
    return value


def _key(key: Any) -> Any:
    """Keys of the job file itself are its schema's."""
    return key + HOSTILE if isinstance(key, str) and not key.islower() else key
