"""Stored jobs in brief: as much of each as a list shows, without reading specs and trials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rightsizer.store import UNFINISHED, Store


@dataclass(frozen=True)
class JobHead:
    """A job's row without its spec. Times are ISO 8601, UTC."""

    id: str
    name: str
    type: str
    status: str
    """As stored: an engine that died has left it as it was."""
    created: str
    modified: str
    """When its status was last set."""
    stop_requested: int
    """0 or 1."""
    cut_short: str
    failure: str
    request_json: str | None

    @property
    def is_of_api(self) -> bool:
        """Whether it was made there."""
        return self.request_json is not None

    @cached_property
    def request(self) -> Mapping[str, Any]:
        """What the API was asked for; empty of a job that was not made there."""
        found: Mapping[str, Any] = json.loads(self.request_json or "{}")
        return found


# In the order of JobHead's fields: of a list's thousand rows each is made at once.
_COLUMNS = (
    "SELECT id, name, type, status, created_utc,"
    " CASE modified_utc WHEN '' THEN created_utc ELSE modified_utc END,"
    " stop_requested <> 0, cut_short, failure, request_json FROM jobs"
)


def heads(store: Store) -> list[JobHead]:
    """All jobs, in the order in which they were made."""
    with store.database() as db:
        return [JobHead(*row) for row in db.execute(f"{_COLUMNS} ORDER BY rowid")]


def unfinished_of_api(store: Store) -> list[JobHead]:
    """The API's jobs that have not ended, in the order in which they were made."""
    marks = ", ".join("?" * len(UNFINISHED))
    where = f"request_json IS NOT NULL AND status IN ({marks})"
    with store.database() as db:
        rows = db.execute(f"{_COLUMNS} WHERE {where} ORDER BY rowid", UNFINISHED)
        return [JobHead(*row) for row in rows]


def heads_named(store: Store, name: str) -> list[JobHead]:
    """The jobs with that name or id."""
    with store.database() as db:
        rows = db.execute(f"{_COLUMNS} WHERE name = ? OR id = ? ORDER BY rowid", (name, name))
        return [JobHead(*row) for row in rows]
