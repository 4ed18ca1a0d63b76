"""The database's schema as numbered steps. Append only: a released step is never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def m001_initial(db: sqlite3.Connection) -> None:
    """Jobs, trials, events."""
    db.execute(
        """
        CREATE TABLE jobs (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            type TEXT NOT NULL,
            status TEXT NOT NULL,
            created_utc TEXT NOT NULL,
            stop_requested INTEGER NOT NULL DEFAULT 0,
            spec_json TEXT NOT NULL,
            inputs_json TEXT NOT NULL,
            cut_short TEXT NOT NULL DEFAULT ''
        )
        """
    )
    db.execute("CREATE INDEX jobs_by_name ON jobs (name, created_utc)")
    db.execute(
        """
        CREATE TABLE trials (
            job_id TEXT NOT NULL REFERENCES jobs (id),
            id TEXT NOT NULL,
            ordinal INTEGER NOT NULL,
            state TEXT NOT NULL,
            record_json TEXT NOT NULL,
            PRIMARY KEY (job_id, id)
        )
        """
    )
    db.execute(
        """
        CREATE TABLE events (
            job_id TEXT NOT NULL REFERENCES jobs (id),
            number INTEGER NOT NULL,
            at_utc TEXT NOT NULL,
            kind TEXT NOT NULL,
            event_json TEXT NOT NULL,
            PRIMARY KEY (job_id, number)
        )
        """
    )


def m002_api(db: sqlite3.Connection) -> None:
    """What the API keeps: models and packages, tags, and the requests that jobs were made from."""
    db.execute(
        """
        CREATE TABLE resources (
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            created_s REAL NOT NULL,
            modified_s REAL NOT NULL,
            body_json TEXT NOT NULL,
            PRIMARY KEY (kind, name)
        )
        """
    )
    db.execute(
        """
        CREATE TABLE tags (
            arn TEXT NOT NULL,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (arn, key)
        )
        """
    )
    db.execute("ALTER TABLE jobs ADD COLUMN modified_utc TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE jobs ADD COLUMN failure TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE jobs ADD COLUMN request_json TEXT")
    db.execute("CREATE UNIQUE INDEX jobs_of_api ON jobs (name) WHERE request_json IS NOT NULL")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (m001_initial, m002_api)


def migrate(db: sqlite3.Connection) -> None:
    """Bring a database up to the newest step, each in its own transaction.

    Raises:
        ValueError: it was written by a newer version of this program.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ValueError(f"schema {version} is newer than this program's {len(MIGRATIONS)}")
    for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have done it while this one waited for the lock.
            if db.execute("PRAGMA user_version").fetchone()[0] < number:
                step(db)
                db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
