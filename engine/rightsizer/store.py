"""Where jobs are kept: an SQLite database, and beside it a folder a job for samples and logs.

    STORE/rightsizer.db
    STORE/jobs/<job id>/lock                     held by the engine that runs the job
    STORE/jobs/<job id>/<trial id>-<attempt>/    samples-0.bin, server.log, generator.log

Any number of readers; one writer a job, by the lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rightsizer.errors import StoreError, UsageError
from rightsizer.migrations import migrate
from rightsizer.trials import TrialRecord

BUSY_S = 30.0
LOCK_TRIES = 5
UNFINISHED = ("pending", "running", "stopping")
"""Statuses of a job that is to be run, or goes on."""
_RECORD: TypeAdapter[TrialRecord] = TypeAdapter(TrialRecord)


@dataclass(frozen=True)
class StoredJob:
    """A job's row. `spec` is the job file's content, `inputs` what `resume` holds it to."""

    id: str
    name: str
    type: str
    status: str
    created: str
    stop_requested: bool
    spec: Mapping[str, Any]
    inputs: Mapping[str, Any]
    cut_short: str
    """Why the job ended before its plan did; empty when it did not."""
    modified: str = ""
    """When its status was last set, ISO 8601; empty in older stores."""
    failure: str = ""
    """Why a job that ran to its end has nothing to recommend; empty where it has."""
    request: Mapping[str, Any] | None = None
    """What the API was asked for; None of a job that was not made there."""


@dataclass(frozen=True)
class StoredEvent:
    """An event of a job's history: its class's name, when (ISO 8601, UTC), its fields."""

    kind: str
    at: str
    fields: Mapping[str, Any]


class NameTaken(UsageError):
    """The API has a job of that name."""


def default_store() -> Path:
    """RIGHTSIZER_STORE, else the platform's user data folder."""
    from platformdirs import user_data_path

    given = os.environ.get("RIGHTSIZER_STORE")
    return Path(given) if given else user_data_path("rightsizer")


class Store:
    """An open store. Every method raises StoreError where the disk or the database fails."""

    def __init__(self, folder: Path) -> None:
        """Open or create; raises StoreError when that is not possible."""
        self.folder = folder.absolute()
        with _translated(self.folder):
            (self.folder / "jobs").mkdir(parents=True, exist_ok=True)
            # One thread at a time, which is the caller's to see to.
            self._db = sqlite3.connect(
                self.folder / "rightsizer.db",
                timeout=BUSY_S,
                isolation_level=None,
                check_same_thread=False,
            )
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            migrate(self._db)

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """The open database, for the other modules that keep things in it."""
        with _translated(self.folder):
            yield self._db

    def require_writable(self) -> None:
        """Raise StoreError unless files can be made and filled: before an hour of measuring."""
        with _translated(self.folder):
            _check_writable(self.folder / "jobs")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- jobs ----------------------------------------------------------------------------------

    def create_job(
        self,
        name: str,
        kind: str,
        spec: Mapping[str, Any],
        inputs: Mapping[str, Any],
        request: Mapping[str, Any] | None = None,
    ) -> StoredJob:
        """A new pending job with an id of its own: the name, cut to 55, and 8 hex digits.

        Raises:
            NameTaken: of a `request`, where the API has made a job of that name.
        """
        job_id = f"{name[:55]}-{secrets.token_hex(4)}"
        created = datetime.now(UTC).isoformat(timespec="seconds")
        with _translated(self.folder):
            self.job_dir(job_id).mkdir(parents=True)
            cursor = self._db.execute(
                "INSERT INTO jobs (id, name, type, status, created_utc, modified_utc, spec_json,"
                " inputs_json, request_json) VALUES (?, ?, ?, 'pending', ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (
                    job_id,
                    name,
                    kind,
                    created,
                    _now(),
                    json.dumps(spec),
                    json.dumps(inputs),
                    None if request is None else json.dumps(request),
                ),
            )
            if not cursor.rowcount:
                self.job_dir(job_id).rmdir()
                raise NameTaken(f"a job named {name} exists", "", "choose another name")
        return self.job(job_id)

    def set_plan(self, job_id: str, spec: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        """What a job that was made before its inputs were there is found to be, once they are."""
        with _translated(self.folder):
            self._db.execute(
                "UPDATE jobs SET spec_json = ?, inputs_json = ? WHERE id = ?",
                (json.dumps(spec), json.dumps(inputs), job_id),
            )

    def job(self, job_id: str) -> StoredJob:
        """One job by its id; raises UsageError where there is none."""
        with _translated(self.folder):
            row = self._db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise UsageError(f"no job {job_id}", "", "`rightsizer list` shows the stored jobs")
        return _stored(row)

    def jobs(self) -> list[StoredJob]:
        """All jobs, newest first."""
        with _translated(self.folder):
            rows = self._db.execute("SELECT * FROM jobs ORDER BY created_utc DESC, rowid DESC")
            return [_stored(row) for row in rows]

    def find(self, job: str) -> StoredJob:
        """A job by id or unambiguous name; raises UsageError."""
        with _translated(self.folder):
            rows = self._db.execute(
                "SELECT * FROM jobs WHERE id = ? OR name = ? ORDER BY id = ? DESC", (job, job, job)
            ).fetchall()
        if not rows:
            raise UsageError(f"no job {job}", "", "`rightsizer list` shows the stored jobs")
        if len(rows) > 1 and rows[0]["id"] != job:
            ids = ", ".join(row["id"] for row in rows)
            raise UsageError(f"{job} names {len(rows)} jobs", ids, "give the id")
        return _stored(rows[0])

    def set_status(self, job_id: str, status: str, *, cut_short: str = "") -> None:
        """Move a job on; `cut_short` says why it ended before its plan did."""
        with _translated(self.folder):
            self._db.execute(
                "UPDATE jobs SET status = ?, cut_short = ?, modified_utc = ? WHERE id = ?",
                (status, cut_short, _now(), job_id),
            )

    def set_failure(self, job_id: str, failure: str) -> None:
        """Say why a job has nothing to recommend; empty: it has."""
        with _translated(self.folder):
            self._db.execute("UPDATE jobs SET failure = ? WHERE id = ?", (failure, job_id))

    def status_of(self, job: StoredJob) -> str:
        """How a job stands. One whose engine died is stopped; but the API's queue has those of the
        API, whether or not the API runs now."""
        if job.status not in UNFINISHED:
            return job.status
        if job.request is None and not self.is_owned(job.id):
            return "stopped"
        return "stopping" if job.stop_requested else job.status

    def request_stop(self, job_id: str, requested: bool = True) -> None:
        """Ask the job's owner to stop; it looks every second or so."""
        with _translated(self.folder):
            self._db.execute(
                "UPDATE jobs SET stop_requested = ? WHERE id = ?", (int(requested), job_id)
            )

    def stop_requested(self, job_id: str) -> bool:
        """Whether somebody asked the job to stop."""
        with _translated(self.folder):
            query = "SELECT stop_requested FROM jobs WHERE id = ?"
            row = self._db.execute(query, (job_id,)).fetchone()
        return bool(row and row[0])

    def job_dir(self, job_id: str) -> Path:
        """The job's folder."""
        return self.folder / "jobs" / job_id

    @contextmanager
    def own(self, job_id: str) -> Iterator[None]:
        """Be the one engine that runs this job.

        Raises:
            StoreError: another engine does.
        """
        path = self.job_dir(job_id) / "lock"
        with _translated(self.folder):
            path.parent.mkdir(exist_ok=True)  # somebody may have removed it
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                _lock(descriptor)
            except OSError:
                owner = os.pread(descriptor, 100, 0).decode() or "another process"
                todo = f"wait for it, or `rightsizer stop {job_id}`"
                raise StoreError(f"{job_id} is being run", owner, todo) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"by process {os.getpid()}".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def is_owned(self, job_id: str) -> bool:
        """Whether a living engine runs this job."""
        path = self.job_dir(job_id) / "lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    # -- trials --------------------------------------------------------------------------------

    def save_trial(self, job_id: str, record: TrialRecord) -> None:
        """Insert or replace a trial's record, durably."""
        with _translated(self.folder):
            self._db.execute(
                "INSERT INTO trials (job_id, id, ordinal, state, record_json)"
                " VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (job_id, id) DO UPDATE SET state = excluded.state,"
                " record_json = excluded.record_json",
                (
                    job_id,
                    record.id,
                    record.ordinal,
                    record.state.value,
                    _RECORD.dump_json(record).decode(),
                ),
            )

    def trials(self, job_id: str, *, with_usage: bool = True) -> list[TrialRecord]:
        """The job's trials in the order of the plan; the readings of what their servers used, most
        of a record, only if asked for."""
        record = "record_json" if with_usage else "json_remove(record_json, '$.measurement.usage')"
        with _translated(self.folder):
            rows = self._db.execute(
                f"SELECT {record} FROM trials WHERE job_id = ? ORDER BY ordinal", (job_id,)
            ).fetchall()
        return [_RECORD.validate_json(row[0]) for row in rows]

    # -- events --------------------------------------------------------------------------------

    def add_event(self, job_id: str, kind: str, event: Mapping[str, Any]) -> None:
        """Append to the job's history."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with _translated(self.folder):
            self._db.execute(
                "INSERT INTO events (job_id, number, at_utc, kind, event_json) SELECT ?,"
                " coalesce(max(number), 0) + 1, ?, ?, ? FROM events WHERE job_id = ?",
                (job_id, now, kind, json.dumps(event), job_id),
            )

    def history(self, job_id: str, kinds: Sequence[str]) -> list[StoredEvent]:
        """The job's events of some kinds, in their order."""
        marks = ", ".join("?" * len(kinds))
        with _translated(self.folder):
            rows = self._db.execute(
                "SELECT kind, at_utc, event_json FROM events WHERE job_id = ?"
                f" AND kind IN ({marks}) ORDER BY number",
                (job_id, *kinds),
            ).fetchall()
        return [StoredEvent(row[0], row[1], json.loads(row[2])) for row in rows]

    def events(self, job_id: str, after: int = 0) -> list[tuple[int, str, dict[str, Any]]]:
        """(number, kind, event) of the job's history after a number."""
        with _translated(self.folder):
            rows = self._db.execute(
                "SELECT number, kind, event_json FROM events WHERE job_id = ? AND number > ?"
                " ORDER BY number",
                (job_id, after),
            ).fetchall()
        return [(row[0], row[1], json.loads(row[2])) for row in rows]


def _lock(descriptor: int) -> None:
    """Take the lock; somebody who only looks whether it is held holds it for an instant."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.05)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _stored(row: sqlite3.Row) -> StoredJob:
    return StoredJob(
        id=row["id"],
        name=row["name"],
        type=row["type"],
        status=row["status"],
        created=row["created_utc"],
        stop_requested=bool(row["stop_requested"]),
        spec=json.loads(row["spec_json"]),
        inputs=json.loads(row["inputs_json"]),
        cut_short=row["cut_short"],
        modified=row["modified_utc"],
        failure=row["failure"],
        request=None if row["request_json"] is None else json.loads(row["request_json"]),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _check_writable(folder: Path) -> None:
    path = folder / f".check-{os.getpid()}"
    try:
        path.write_bytes(b"\0" * 4096)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Failures of disk and database as this project's one-line errors."""
    try:
        yield
    except (OSError, sqlite3.Error, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        todo = "free space, mend its permissions, or give another with --store"
        raise StoreError(f"the store {folder} cannot be used", why, todo) from error
