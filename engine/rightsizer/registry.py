"""What the API keeps beside jobs: named resources (models, packages, groups) and tags by ARN."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rightsizer.store import Store


@dataclass(frozen=True)
class Resource:
    """A named thing of some kind. Times are seconds since the epoch."""

    kind: str
    name: str
    created_s: float
    modified_s: float
    body: Mapping[str, Any]


class Registry:
    """Resources and tags in a store's database. Raises StoreError where that fails."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @contextmanager
    def together(self) -> Iterator[None]:
        """All changes inside it are made, or, where it is left by an exception, none of them.

        Nobody else changes the store meanwhile: what was read inside it still holds. Not nested.
        """
        with self._store.database() as db:
            db.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._store.database() as db:
                db.execute("COMMIT")
        except BaseException:
            with self._store.database() as db:
                if db.in_transaction:  # a full disk may have ended it
                    db.execute("ROLLBACK")
            raise

    def add(self, kind: str, name: str, body: Mapping[str, Any], now_s: float) -> bool:
        """Keep a new resource; False, and nothing changed, where the name is taken."""
        with self._store.database() as db:
            cursor = db.execute(
                "INSERT INTO resources (kind, name, created_s, modified_s, body_json)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (kind, name, now_s, now_s, json.dumps(body)),
            )
            return cursor.rowcount == 1

    def find(self, kind: str, name: str) -> Resource | None:
        """One resource; None where there is none of that name."""
        with self._store.database() as db:
            row = db.execute(
                "SELECT * FROM resources WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
        return None if row is None else _resource(row)

    def all(self, kind: str, *, prefix: str = "") -> list[Resource]:
        """Every resource of a kind whose name begins so, in the order in which they were made."""
        with self._store.database() as db:
            rows = db.execute(
                "SELECT * FROM resources WHERE kind = ? AND substr(name, 1, length(?)) = ?"
                " ORDER BY created_s, rowid",
                (kind, prefix, prefix),
            ).fetchall()
        return [_resource(row) for row in rows]

    def change(self, kind: str, name: str, body: Mapping[str, Any], now_s: float) -> bool:
        """Give a resource another body; False where there is none of that name."""
        with self._store.database() as db:
            cursor = db.execute(
                "UPDATE resources SET body_json = ?, modified_s = ? WHERE kind = ? AND name = ?",
                (json.dumps(body), now_s, kind, name),
            )
            return cursor.rowcount == 1

    def remove(self, kind: str, name: str) -> bool:
        """Forget a resource; False where there was none."""
        with self._store.database() as db:
            cursor = db.execute("DELETE FROM resources WHERE kind = ? AND name = ?", (kind, name))
            return cursor.rowcount == 1

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of an ARN, in the order of their keys."""
        with self._store.database() as db:
            rows = db.execute("SELECT key, value FROM tags WHERE arn = ? ORDER BY key", (arn,))
            return {row["key"]: row["value"] for row in rows}

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add tags, or change their values."""
        with self._store.database() as db:
            db.executemany(
                "INSERT INTO tags (arn, key, value) VALUES (?, ?, ?)"
                " ON CONFLICT (arn, key) DO UPDATE SET value = excluded.value",
                [(arn, key, value) for key, value in tags.items()],
            )

    def untag(self, arn: str, keys: Iterable[str] | None = None) -> None:
        """Remove some tags, or all of them."""
        with self._store.database() as db:
            if keys is None:
                db.execute("DELETE FROM tags WHERE arn = ?", (arn,))
            else:
                db.executemany(
                    "DELETE FROM tags WHERE arn = ? AND key = ?", [(arn, key) for key in keys]
                )


def _resource(row: Any) -> Resource:
    return Resource(
        row["kind"], row["name"], row["created_s"], row["modified_s"], json.loads(row["body_json"])
    )
