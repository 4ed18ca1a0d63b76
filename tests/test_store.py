"""Jobs, trials and events on disk: durable, readable by others, one writer a job."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rightsizer.analysis.figures import Requests
from rightsizer.candidates import Candidate
from rightsizer.errors import Reason, StoreError, TrialState, UsageError
from rightsizer.hosts.records import Usage
from rightsizer.housekeeping import collect, end_waiting, stop
from rightsizer.machines import Placement
from rightsizer.migrations import MIGRATIONS
from rightsizer.schedule import closed_step
from rightsizer.store import NameTaken, Store
from rightsizer.traffic.records import Health, StepRecord
from rightsizer.trials import Measurement, TrialRecord


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "kept") as opened:
        yield opened


def record(trial: str = "t1", state: TrialState = TrialState.SUCCEEDED) -> TrialRecord:
    step = StepRecord(
        closed_step(0, 2, 15.0),
        *(1, 2, 3, 4, True, ((1, 0), (2, 2)), 0.5),
        health=Health(run_delay_ratio=0.25, reopened=3),
    )
    return TrialRecord(
        id=trial,
        ordinal=0,
        candidate=Candidate("c1", "local.1cpu", {"A": "1"}, command=("x", "{port}")),
        host="local",
        state=state,
        reason=Reason.CRASHED if state is TrialState.FAILED else None,
        measurement=Measurement(
            records=(step,),
            usage=(Usage(1, 0.5, 1000),),
            placement=Placement((1,), (0,), "native", 1 << 30),
            probe_latency_ms={"a.jpg": 71.25},
            ready_s=3.5,
        ),
        requests=Requests(10, 9, 1, 0, 0, 2),
        sample_files=("t1-1/samples-0.bin",),
        wall_s=20.5,
    )


def test_a_trial_comes_back_as_it_was_saved(store):
    job = store.create_job("demo", "advanced", {"name": "demo"}, {})
    store.save_trial(job.id, record())
    assert store.trials(job.id) == [record()]


def test_trials_are_read_without_what_their_servers_used_where_nobody_asks(store):
    job = store.create_job("demo", "advanced", {"name": "demo"}, {})
    saved = record()
    assert saved.measurement.usage
    store.save_trial(job.id, saved)
    without = replace(saved, measurement=replace(saved.measurement, usage=()))
    assert store.trials(job.id, with_usage=False) == [without]


def test_a_trial_stored_before_its_generator_s_health_was_kept_still_loads(store):
    job = store.create_job("demo", "advanced", {"name": "demo"}, {})
    store.save_trial(job.id, record())
    with sqlite3.connect(store.folder / "rightsizer.db") as database:
        remove = "UPDATE trials SET record_json = json_remove(record_json, ?)"
        database.execute(remove, ("$.measurement.records[0].health",))
    database.close()
    [trial] = store.trials(job.id)
    assert trial.measurement.records[0].health == Health()


def test_saving_a_trial_again_replaces_it(store):
    job = store.create_job("demo", "advanced", {}, {})
    store.save_trial(job.id, record(state=TrialState.RUNNING))
    store.save_trial(job.id, record(state=TrialState.FAILED))
    assert [trial.state for trial in store.trials(job.id)] == [TrialState.FAILED]


def test_a_saved_trial_survives_a_process_that_dies_at_once(tmp_path):
    script = (
        "import os, sys\n"
        "from rightsizer.store import NameTaken, Store\n"
        "from tests.test_store import record\n"
        "from pathlib import Path\n"
        "store = Store(Path(sys.argv[1]))\n"
        "job = store.create_job('demo', 'advanced', {}, {})\n"
        "store.save_trial(job.id, record())\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "kept")], cwd=root, check=False
    )
    assert done.returncode == -9
    with Store(tmp_path / "kept") as store:
        [job] = store.jobs()
        assert store.trials(job.id) == [record()]
        assert store.status_of(job) == "stopped"


def test_job_ids_are_the_name_cut_to_55_and_eight_hex_digits(store):
    job = store.create_job("a" * 64, "advanced", {}, {})
    name, _, tail = job.id.rpartition("-")
    assert name == "a" * 55
    assert len(tail) == 8
    assert int(tail, 16) >= 0


def test_a_job_is_found_by_id_or_by_a_name_that_only_one_has(store):
    first = store.create_job("demo", "advanced", {}, {})
    assert store.find("demo").id == store.find(first.id).id == first.id
    second = store.create_job("demo", "advanced", {}, {})
    with pytest.raises(UsageError, match=rf"demo names 2 jobs: .*{second.id}.*; give the id"):
        store.find("demo")
    assert store.find(second.id).id == second.id
    with pytest.raises(UsageError, match="no job nope; `rightsizer list` shows the stored jobs"):
        store.find("nope")


def test_jobs_are_listed_newest_first(store):
    made = [store.create_job(name, "advanced", {}, {}).id for name in ("a", "b", "c")]
    assert [job.id for job in store.jobs()] == made[::-1]


def test_only_one_engine_owns_a_job_and_another_job_is_free(store):
    job, other = (store.create_job(name, "advanced", {}, {}) for name in ("a", "b"))
    with store.own(job.id):
        assert store.is_owned(job.id)
        with (
            pytest.raises(StoreError, match=f"{job.id} is being run: by process {os.getpid()}"),
            store.own(job.id),
        ):
            pass
        with store.own(other.id):
            assert store.is_owned(other.id)
    assert not store.is_owned(job.id)


def test_a_running_job_without_its_engine_shows_as_stopped(store):
    job = store.create_job("a", "advanced", {}, {})
    with store.own(job.id):
        store.set_status(job.id, "running")
        assert store.status_of(store.job(job.id)) == "running"
        store.request_stop(job.id)
        assert store.status_of(store.job(job.id)) == "stopping"
    assert store.status_of(store.job(job.id)) == "stopped"


@pytest.mark.parametrize("status", ["pending", "running"])
def test_a_job_of_the_api_that_nobody_runs_is_still_in_its_queue(store, status):
    job = store.create_job("a", "advanced", {}, {}, request={})
    store.set_status(job.id, status)
    assert store.status_of(store.job(job.id)) == status
    store.request_stop(job.id)
    assert store.status_of(store.job(job.id)) == "stopping"


def test_gc_leaves_the_api_s_queue_alone_and_ends_what_a_dead_engine_left(store):
    queued = store.create_job("queued", "advanced", {}, {"base_dir": "."}, request={})
    crashed = store.create_job("crashed", "advanced", {}, {"base_dir": "."}, request={})
    dead = store.create_job("dead", "advanced", {}, {"base_dir": "."})
    for job in (crashed, dead):
        store.set_status(job.id, "running")
    [said] = collect(store=store.folder)
    assert dead.id in said
    statuses = [store.job(job.id).status for job in (queued, crashed, dead)]
    assert statuses == ["pending", "running", "stopped"]


def test_a_queued_job_that_is_stopped_has_ended_and_a_running_one_is_asked(store):
    queued, running = (
        store.create_job(name, "advanced", {}, {}, request={}) for name in ("queued", "running")
    )
    store.set_status(running.id, "running")
    store.save_trial(queued.id, record(state=TrialState.RUNNING))  # of a worker that died
    with store.own(running.id):
        assert stop("running", store=store.folder).status == "running"
        assert store.stop_requested(running.id)
        with pytest.raises(StoreError):
            end_waiting(store, running.id, "failed", "no")
    assert stop("queued", store=store.folder).status == "stopped"
    assert [trial.state for trial in store.trials(queued.id)] == [TrialState.INTERRUPTED]
    with pytest.raises(UsageError, match="is not running"):
        stop("queued", store=store.folder)


def test_what_has_ended_is_not_ended_again(store):
    job = store.create_job("a", "advanced", {}, {}, request={})
    store.set_status(job.id, "completed")
    end_waiting(store, job.id, "failed", "too late")
    assert (store.job(job.id).status, store.job(job.id).cut_short) == ("completed", "")


def test_a_name_is_the_api_s_once_and_the_command_line_s_as_often_as_it_likes(store):
    for _ in range(2):
        store.create_job("a", "advanced", {}, {})
    store.create_job("a", "advanced", {}, {}, request={"JobName": "a"})
    with pytest.raises(NameTaken, match="a job named a exists"):
        store.create_job("a", "advanced", {}, {}, request={"JobName": "a"})
    assert len(store.jobs()) == len(list((store.folder / "jobs").iterdir())) == 3


def test_a_plan_and_a_failure_are_kept_beside_the_request(store):
    job = store.create_job("a", "advanced", {"name": "a"}, {}, request={"JobName": "a"})
    assert (job.failure, job.request) == ("", {"JobName": "a"})
    store.set_plan(job.id, {"name": "a", "type": "advanced"}, {"digests": {}})
    store.set_failure(job.id, "no candidate was measured")
    found = store.job(job.id)
    assert found.spec == {"name": "a", "type": "advanced"}
    assert found.inputs == {"digests": {}}
    assert found.failure == "no candidate was measured"
    assert found.request == {"JobName": "a"}


def test_each_status_says_when_it_was_set(store):
    job = store.create_job("a", "advanced", {}, {})
    assert job.modified >= job.created
    store.set_status(job.id, "running")
    assert store.job(job.id).modified >= job.modified


def test_a_history_has_the_events_of_the_kinds_asked_for_in_their_order(store):
    job = store.create_job("a", "advanced", {}, {})
    for number, kind in enumerate(("Tick", "Noise", "Tock", "Tick")):
        store.add_event(job.id, kind, {"n": number})
    found = store.history(job.id, ("Tick", "Tock"))
    assert [(event.kind, event.fields["n"]) for event in found] == [
        ("Tick", 0),
        ("Tock", 2),
        ("Tick", 3),
    ]
    assert [event.at for event in found] == sorted(event.at for event in found)
    assert store.history(job.id, ()) == []


def test_a_stop_request_is_seen_by_another_reader(store, tmp_path):
    job = store.create_job("a", "advanced", {}, {})
    with Store(tmp_path / "kept") as reader:
        assert not reader.stop_requested(job.id)
        store.request_stop(job.id)
        assert reader.stop_requested(job.id)
        store.request_stop(job.id, False)
        assert not reader.stop_requested(job.id)


def test_events_are_numbered_from_one_and_read_from_where_one_left_off(store):
    job = store.create_job("a", "advanced", {}, {})
    for number in range(3):
        store.add_event(job.id, "Tick", {"n": number})
    assert store.events(job.id, after=1) == [(2, "Tick", {"n": 1}), (3, "Tick", {"n": 2})]


def test_a_store_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"the store .*file/kept cannot be used: .*--store"):
        Store(tmp_path / "file" / "kept")


def test_a_database_that_is_none_is_one_line(tmp_path):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "rightsizer.db").write_bytes(b"not a database at all, but long enough" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        Store(tmp_path)


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "rightsizer.db") as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StoreError, match="newer than this program's"):
        Store(tmp_path)


def test_opening_a_store_twice_migrates_it_once(tmp_path):
    for _ in range(2):
        Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "rightsizer.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_gc_removes_bodies_that_no_generator_will_read_again(tmp_path):
    old, new = (tmp_path / "measurements" / name / "bodies" for name in ("old", "new"))
    for spool in (old, new):
        spool.mkdir(parents=True)
        (spool / "0").write_bytes(b"x")
        (spool.parent / "samples-0.bin").write_bytes(b"y")
    os.utime(old, (0, 0))
    assert collect(store=tmp_path) == ["old: removed bodies"]
    assert not old.exists()
    assert new.exists()
    assert (old.parent / "samples-0.bin").exists()
