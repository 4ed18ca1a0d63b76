"""Stopping jobs from outside, and cleaning up after engines that died."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rightsizer.errors import InputError, Reason, StoreError, TrialState, UsageError
from rightsizer.hosts.docker.sweep import sweep_host
from rightsizer.inventory import HostSpec
from rightsizer.preparation import hosts_of
from rightsizer.store import UNFINISHED, Store, StoredJob, default_store
from rightsizer.trials import TrialRecord

BY_USER = "the job was stopped"
SPOOL_S = 3600.0
"""A generator has read its bodies within a minute."""


def interrupt_orphans(store: Store, job_id: str) -> dict[str, TrialRecord]:
    """Stored trials by id; one left running by a dead engine counts as interrupted."""
    found = {}
    for record in store.trials(job_id):
        if record.state is TrialState.RUNNING:
            record = replace(
                record,
                state=TrialState.INTERRUPTED,
                reason=Reason.ENGINE_LOST,
                detail="the engine ended in the middle of it",
            )
            store.save_trial(job_id, record)
        found[record.id] = record
    return found


def end_waiting(store: Store, job_id: str, status: str, why: str) -> None:
    """End a job that nobody runs; one that has ended is left as it is.

    Raises:
        StoreError: somebody runs it.
    """
    with store.own(job_id):
        if store.job(job_id).status in UNFINISHED:
            interrupt_orphans(store, job_id)
            shutil.rmtree(store.job_dir(job_id) / "model", ignore_errors=True)
            store.set_status(job_id, status, cut_short=why)


def stop(job: str, *, store: str | Path | None = None) -> StoredJob:
    """Ask the engine that runs a job to end the step and save; one that waits in the API's queue
    has then ended.

    Raises:
        UsageError: no such job, or it is not running.
    """
    with Store(Path(store) if store is not None else default_store()) as opened:
        stored = opened.find(job)
        if opened.status_of(stored) not in UNFINISHED:
            raise UsageError(f"{stored.id} is not running", "nothing to stop")
        opened.request_stop(stored.id)
        if not opened.is_owned(stored.id):
            with contextlib.suppress(StoreError):  # it has just begun, and sees the request
                end_waiting(opened, stored.id, "stopped", BY_USER)
        return opened.job(stored.id)


def collect(*, store: str | Path | None = None) -> list[str]:
    """Clean up after engines that died; says what was done, one line each.

    Raises:
        EnvironmentFault: the store cannot be used.
    """
    done = []
    with Store(Path(store) if store is not None else default_store()) as opened:
        for stored in opened.jobs():
            queued = stored.request is not None and stored.status in UNFINISHED
            if queued or opened.is_owned(stored.id):
                continue
            done += _collect_job(opened, stored)
        hosts = _docker_hosts(opened.jobs())
        for kind in ("measurements", "selftests"):
            done += _collect_spools(opened.folder / kind)
    for host in hosts:
        done += sweep_host(host)
    return done


def _docker_hosts(jobs: Sequence[StoredJob]) -> list[HostSpec]:
    """Every Docker engine that a stored job's hosts file names, once."""
    found: dict[str, HostSpec] = {}
    for job in jobs:
        given = job.spec.get("hosts")
        if given:
            with contextlib.suppress(InputError):  # moved or mended since: what is left is swept
                for host in hosts_of(Path(job.inputs["base_dir"]) / given):  # by the next start
                    if host.kind == "docker" and host.address:
                        found.setdefault(host.address, host)
    return list(found.values())


def _collect_spools(folder: Path) -> list[str]:
    """Request bodies that a generator has long read, or never will."""
    done = []
    for left in folder.glob("*/**/bodies"):
        with contextlib.suppress(OSError):  # gone meanwhile, with whoever made it
            if time.time() - left.stat().st_mtime > SPOOL_S:
                shutil.rmtree(left, ignore_errors=True)
                done.append(f"{left.parent.name}: removed bodies")
    return done


def _collect_job(store: Store, stored: StoredJob) -> list[str]:
    done = []
    interrupt_orphans(store, stored.id)
    if stored.status in UNFINISHED:
        store.set_status(stored.id, "stopped")
        done.append(f"{stored.id}: its engine is gone; marked stopped (resume finishes it)")
    folder = store.job_dir(stored.id)
    for left in [folder / "model", *folder.glob("*/bodies"), *folder.glob("model.*")]:
        if left.exists():
            shutil.rmtree(left, ignore_errors=True)
            done.append(f"{stored.id}: removed {left.name}")
    return done
