"""The process that runs one job of the API: `python -m rightsizer.api.worker`, started by the
supervisor with its orders on standard input.

The rest of that pipe says how long the server lives: when it closes, or on SIGTERM, the trial is
ended and the job goes back to the queue.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from rightsizer.api.fetching import fetch, fetch_payload
from rightsizer.api.jobs.specs import INPUTS, MODEL_FILE, PAYLOAD_FILE, in_folder
from rightsizer.api.settings import Settings
from rightsizer.errors import RightsizerError
from rightsizer.jobs import inputs_of, real_outside, refuse_changes, run_owned
from rightsizer.plan import require_runnable
from rightsizer.preparation import prepare_spec
from rightsizer.spec import JobSpec
from rightsizer.stop_switch import StopSwitch
from rightsizer.store import Store, StoredJob


@dataclass(frozen=True)
class Orders:
    """What a worker is told."""

    store: str
    job_id: str
    settings: Settings
    cpus: tuple[int, ...] | None
    """Those that the server was started with; None where there are no CPU sets."""


ORDERS: TypeAdapter[Orders] = TypeAdapter(Orders)


def work(orders: Orders, switch: StopSwitch) -> None:
    """Run a queued job to its end, from where it is; whatever happens its status says how."""
    with Store(Path(orders.store)) as store, store.own(orders.job_id):
        stored = store.job(orders.job_id)
        try:
            _run(store, stored, orders.settings, switch)
        except RightsizerError as error:
            # Once it runs, what ends it says so itself.
            if store.job(stored.id).status == "pending":
                store.set_status(stored.id, "failed", cut_short=str(error))


def _run(store: Store, stored: StoredJob, settings: Settings, switch: StopSwitch) -> None:
    base_dir = Path(stored.inputs["base_dir"])
    spec = JobSpec.model_validate(dict(stored.spec))
    if "digests" in stored.inputs:
        prepared = prepare_spec(spec, base_dir)
        refuse_changes(stored, prepared)
    else:
        _bring(stored, store.job_dir(stored.id) / INPUTS, settings, base_dir)
        prepared = prepare_spec(in_folder(spec, store.job_dir(stored.id)), base_dir)
        inputs = {**stored.inputs, **inputs_of(prepared, "")}
        store.set_plan(stored.id, prepared.spec.model_dump(mode="json"), inputs)
        stored = store.job(stored.id)
    require_runnable(prepared.plan)
    store.require_writable()
    run_owned(store, stored, prepared, None, switch, real_outside())


def _bring(stored: StoredJob, folder: Path, settings: Settings, base_dir: Path) -> None:
    """The job's model and payload into its folder."""
    folder.mkdir(exist_ok=True)
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
    switch, ended = StopSwitch(), threading.Event()

    def end(*_: object) -> None:
        if not ended.is_set():
            ended.set()
            switch.press()
            switch.press()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the server's whole group

    def wait_for_server() -> None:
        sys.stdin.buffer.read()
        end()

    threading.Thread(target=wait_for_server, daemon=True).start()
    work(orders, switch)
    if ended.is_set():
        _back_to_queue(orders)
    # The thread that waits for the server may hold standard input's lock.
    sys.stdout.flush()
    os._exit(0)


def _back_to_queue(orders: Orders) -> None:
    """It was not the user who stopped it: the next server takes it up again."""
    with Store(Path(orders.store)) as store:
        stored = store.job(orders.job_id)
        if stored.status == "stopped" and not stored.stop_requested:
            store.set_status(stored.id, "pending")


if __name__ == "__main__":
    main()
