"""The process that runs one job of the API: `python -m rightsizer.api.worker`, started by the
supervisor with its orders on standard input.

The rest of that pipe says how long the server lives: when it closes, or on SIGTERM, the trial is
ended and the job goes back to the queue. Exit code 0 says that the job stands as its status says:
ended, or still in the queue; any other that the worker died.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from rightsizer.api.fetching import fetch, fetch_payload
from rightsizer.api.jobs.specs import INPUTS, MODEL_FILE, PAYLOAD_FILE, in_folder
from rightsizer.api.settings import Settings
from rightsizer.errors import RightsizerError
from rightsizer.hosts.lease import Leased
from rightsizer.jobs import inputs_of, real_outside, refuse_changes, run_owned
from rightsizer.planning import require_runnable
from rightsizer.preparation import Prepared, planned, prepare_spec
from rightsizer.spec import JobSpec
from rightsizer.stop_switch import StopSwitch
from rightsizer.store import UNFINISHED, Store, StoredJob

DONE = ("completed", "failed")
"""Nobody goes on with such a job: its copy of the model, which may be large, is not kept."""


@dataclass(frozen=True)
class Orders:
    """What a worker is told."""

    store: str
    job_id: str
    settings: Settings
    cpus: tuple[int, ...] | None
    """Those that the server was started with; None where there are no CPU sets."""


ORDERS: TypeAdapter[Orders] = TypeAdapter(Orders)


def work(orders: Orders, switch: StopSwitch, begins: Callable[[], object] = lambda: None) -> None:
    """Run a queued job to its end, from where it is; whatever happens its status says how.

    It stays in the queue where its CPUs were taken meanwhile. `begins` is called once it may
    no longer be broken off without a word.

    Raises:
        StoreError: another engine runs it, or the disk does not take its end.
    """
    with Store(Path(orders.store)) as store, store.own(orders.job_id):
        stored = store.job(orders.job_id)
        if stored.status not in UNFINISHED:
            return
        try:
            stored, prepared = _prepared(store, stored, orders.settings)
            begins()
            run_owned(store, stored, prepared, None, switch, real_outside())
        except Leased:
            return
        except RightsizerError as error:
            # Once it runs, what ends it says so itself.
            if store.job(stored.id).status in UNFINISHED:
                store.set_status(stored.id, "failed", cut_short=str(error))
        if store.job(stored.id).status in DONE:
            with suppress(OSError):
                (store.job_dir(stored.id) / INPUTS / MODEL_FILE).unlink(missing_ok=True)


def _prepared(store: Store, stored: StoredJob, settings: Settings) -> tuple[StoredJob, Prepared]:
    """A job with its inputs, fetched where that was not done yet."""
    base_dir = Path(stored.inputs["base_dir"])
    spec = JobSpec.model_validate(dict(stored.spec))
    if "digests" in stored.inputs:
        prepared = prepare_spec(spec, base_dir)
        refuse_changes(stored, prepared)
    else:
        # What nothing here can run is told before gigabytes are fetched.
        require_runnable(planned(spec, base_dir).plan)
        _bring(stored, store.job_dir(stored.id) / INPUTS, settings, base_dir)
        prepared = prepare_spec(in_folder(spec, store.job_dir(stored.id)), base_dir)
        inputs = {**stored.inputs, **inputs_of(prepared, "")}
        store.set_plan(stored.id, prepared.spec.model_dump(mode="json"), inputs)
    require_runnable(prepared.plan)
    store.require_writable()
    return store.job(stored.id), prepared


def _bring(stored: StoredJob, folder: Path, settings: Settings, base_dir: Path) -> None:
    """The job's model and payload into its folder."""
    shutil.rmtree(folder, ignore_errors=True)  # half a file, where it was broken off
    folder.mkdir()
    sources = stored.inputs["sources"]
    fetch_payload(sources["payload"], folder / PAYLOAD_FILE, settings, base_dir)
    if sources["model"]:
        fetch(sources["model"], folder / MODEL_FILE, settings, base_dir)


def main() -> None:
    """Take the orders, then work until the job has ended or the server has."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    orders = ORDERS.validate_json(sys.stdin.buffer.readline())
    if orders.cpus is not None:
        os.sched_setaffinity(0, orders.cpus)
    switch, measuring = StopSwitch(), threading.Event()

    def end(*_: object) -> None:
        if measuring.is_set():
            switch.hand_over()
        else:  # nothing was started, and a download may take an hour
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            sys.exit()

    def wait_for_server() -> None:
        while os.read(0, 1024):  # without the lock of sys.stdin, which an exit would wait for
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the server's whole group
    threading.Thread(target=wait_for_server, daemon=True).start()
    try:
        work(orders, switch, measuring.set)
    except RightsizerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
