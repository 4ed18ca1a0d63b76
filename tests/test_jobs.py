"""The whole pipeline on fakes, in milliseconds, with exact numbers."""

from __future__ import annotations

import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
import rightsizer
from rightsizer.errors import (
    EnvironmentFault,
    ExitCode,
    InputError,
    ProblemsError,
    Reason,
    StoreError,
    TrialFailed,
    TrialState,
    UsageError,
)
from rightsizer.events import (
    JobEnded,
    JobStarted,
    StepEnded,
    StepProgress,
    TrialEnded,
    TrialStarted,
)
from rightsizer.job_heads import heads
from rightsizer.jobs import resume, run
from rightsizer.loading import list_stored, load
from rightsizer.machines import Machine
from rightsizer.migrations import m001_initial
from rightsizer.report.sentence import closing_sentence
from rightsizer.report.table import result_table
from rightsizer.stop_switch import StopSwitch
from rightsizer.store import Store
from rightsizer.traffic.fake import FakeServer

from .fakes import JOB, fake_outside, write_job


def by_speed(job):
    return {trial.candidate.environment["SPEED"]: trial for trial in job.trials}


def test_a_job_on_fakes_gives_exact_figures_and_ranks_by_fleet_cost(tmp_path: Path):
    job = run(write_job(tmp_path), outside=fake_outside())
    assert job.status == "completed"
    assert job.exit_code is ExitCode.OK
    fast, slow = job.recommendations
    # One worker of 50 ms: 20/s whatever the users; two users wait 100 ms, three 150 > 120.
    assert fast.environment == {"SPEED": "fast"}
    assert fast.max_invocations_per_min == pytest.approx(1200, rel=0.005)
    assert fast.max_kind == "estimate"
    assert fast.basis == "closed"
    # 100 ms: only one user keeps within 120 ms.
    assert slow.max_invocations_per_min == pytest.approx(600, rel=0.005)
    assert slow.model_latency_ms == 100.0
    assert slow.unloaded_latency_ms == 100.0
    assert (fast.fleet.instance_count, slow.fleet.instance_count) == (2, 4)
    assert fast.fleet.cost_per_hour_usd == pytest.approx(1.2)
    assert fast.cost_per_inference_usd == 0.6 / (60 * fast.max_invocations_per_min)
    assert slow.cpu_utilization_percent == pytest.approx(50.0)


def test_steps_are_judged_by_latency_exactly(tmp_path: Path):
    trial = by_speed(run(write_job(tmp_path), outside=fake_outside()))["fast"]
    assert [step.users for step in trial.steps] == [1, 2, 3]
    assert [step.p95_ms for step in trial.steps] == [50.0, 100.0, 150.0]
    assert [step.verdict for step in trial.steps] == [
        "within-limits",
        "within-limits",
        "over-latency",
    ]


def test_a_candidate_that_had_room_left_and_is_cheaper_already_weakens_the_first_row(
    tmp_path: Path,
):
    def served(environment) -> FakeServer:
        is_fast = environment["SPEED"] == "fast"
        return FakeServer(service_ms=[50.0 if is_fast else 100.0], servers=8 if is_fast else 1)

    job = run(write_job(tmp_path), outside=fake_outside(behaviour=served))
    assert [(row.environment["SPEED"], row.max_kind) for row in job.recommendations] == [
        ("slow", "estimate"),
        ("fast", "at_least"),
    ]
    # Three users of the fast one had 60 a second, of one instance; the slow one needs four.
    assert "row 2 (local.1cpu SPEED=fast) costs less than row 1" in job.best.doubts[0].message
    assert "weakened by: undercut" in closing_sentence(job)
    assert load(job.id) == job


HOSTS = """\
hosts:
  - name: local
    provides:
      - {instance_type: ml.a.large, as: stand-in, cpus: 1, memory_gib: 1}
      - {instance_type: ml.b.large, as: stand-in, cpus: 1, memory_gib: 1}
"""
TWO_TYPES = JOB.replace(
    'local.1cpu\n    environment: {SPEED: ["slow", "fast"]}',
    "ml.a.large\n    environment: {SPEED: fast}\n"
    "  - instance_type: ml.b.large\n    environment: {SPEED: fast}",
)


def test_types_that_the_host_cannot_tell_apart_are_measured_once_and_ranked_by_price(
    tmp_path: Path,
):
    path = write_job(tmp_path, TWO_TYPES + "hosts: hosts.yaml\n")
    (tmp_path / "hosts.yaml").write_text(HOSTS)
    sizes = "instance_type,price_per_hour,vcpus,memory_gib\n"
    (tmp_path / "prices.csv").write_text(f"{sizes}ml.a.large,0.6,1,1\nml.b.large,0.5,1,1\n")
    job = run(path, outside=fake_outside())
    [trial] = job.trials
    assert [row.instance_type for row in job.recommendations] == ["ml.b.large", "ml.a.large"]
    assert {row.trial_id for row in job.recommendations} == {trial.id}
    assert load(job.id) == job
    document = job.document()["trials"][0]
    assert document["instance_types"] == ["ml.a.large", "ml.b.large"]
    assert "by-price-only" in result_table(job, 100)


def test_the_effect_of_the_swept_variable_is_named(tmp_path: Path):
    [effect] = run(write_job(tmp_path), outside=fake_outside()).effects
    assert (effect.variable, effect.baseline, effect.value) == ("SPEED", "fast", "slow")
    assert effect.ratio == pytest.approx(0.5, rel=0.005)
    assert effect.verdict == "matters"


def test_a_stored_job_loads_as_the_same_result(tmp_path: Path):
    job = run(write_job(tmp_path), outside=fake_outside())
    assert load(job.id) == job
    assert load("demo").recommendations == job.recommendations
    [line] = list_stored()
    assert (line.id, line.succeeded, line.best) == (job.id, 2, "local.1cpu SPEED=fast")


def test_the_public_names_are_the_documented_ones(tmp_path: Path):
    assert rightsizer.run is run
    assert rightsizer.load is load
    assert rightsizer.resume is resume
    for name in rightsizer.__all__:
        assert getattr(rightsizer, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = rightsizer.nope


def test_the_frame_has_the_reference_columns(tmp_path: Path):
    frame = run(write_job(tmp_path), outside=fake_outside()).frame()
    assert list(frame.columns) == [
        "CostPerHour",
        "CostPerInference",
        "EndpointName",
        "EnvironmentParameters",
        "InitialInstanceCount",
        "InstanceType",
        "MaxInvocations",
        "ModelLatency",
    ]
    assert frame["InitialInstanceCount"].tolist() == [2, 4]
    assert frame["MaxInvocations"].tolist() == pytest.approx([2400, 2400], rel=0.005)


def test_a_candidate_that_fails_is_a_result_and_the_job_goes_on(tmp_path: Path):
    def outcome(launch):
        if launch.environment["SPEED"] == "slow":
            return TrialFailed(Reason.EXITED_AT_START, "exit code 3", "no such model")
        return None

    job = run(write_job(tmp_path), outside=fake_outside(outcome=outcome))
    assert job.exit_code is ExitCode.PARTIAL
    assert [row.environment["SPEED"] for row in job.recommendations] == ["fast"]
    [rejected] = job.rejected
    assert (rejected.reason, rejected.detail) == ("exited-at-start", "exit code 3")
    assert by_speed(job)["slow"].log_tail == "no such model"


def test_a_server_that_crashes_mid_step_keeps_the_steps_it_finished(tmp_path: Path):
    job = run(write_job(tmp_path), outside=fake_outside(crashes=lambda launch: 30))
    for trial in job.trials:
        assert (trial.state, trial.reason) == (TrialState.FAILED, Reason.CRASHED)
        assert trial.log_tail == "fake server"
        assert len(trial.measurement.records) == 2
        assert trial.requests.attempted > 100
    assert job.exit_code is ExitCode.NO_VALID_MEASUREMENT


def test_nothing_within_the_limits_is_exit_code_7_with_the_nearest_step(tmp_path: Path):
    text = JOB.replace("latency_ms: 120", "latency_ms: 20")
    job = run(write_job(tmp_path, text), outside=fake_outside())
    assert job.exit_code is ExitCode.LIMIT_UNMET
    details = {row.environment["SPEED"]: row.detail for row in job.rejected}
    assert details["fast"] == "P95 50.0 ms at 1 user, over the limit of 20.0 ms"
    assert {row.reason for row in job.rejected} == {"limit-unmet"}


def test_a_server_of_errors_is_failed_not_slow(tmp_path: Path):
    broken = FakeServer(service_ms=[10.0], fails_every=2)
    job = run(write_job(tmp_path), outside=fake_outside(behaviour=lambda env: broken))
    for trial in job.trials:
        assert (trial.state, trial.reason) == (TrialState.FAILED, Reason.ERRORS)
        assert trial.detail.startswith("50 % errors at ")
        requests = trial.requests
        assert requests.attempted == requests.succeeded + requests.failed


def test_the_events_tell_the_whole_story_and_are_stored(tmp_path: Path):
    seen = []
    job = run(write_job(tmp_path), outside=fake_outside(), on_event=seen.append)
    assert isinstance(seen[0], JobStarted)
    assert isinstance(seen[-1], JobEnded)
    assert sum(isinstance(event, StepEnded) for event in seen) == 6
    assert [e.label for e in seen if isinstance(e, TrialEnded)] == [
        "local.1cpu SPEED=slow",
        "local.1cpu SPEED=fast",
    ]
    assert any(isinstance(event, StepProgress) for event in seen)
    with Store(tmp_path / "store") as store:
        kinds = [kind for _, kind, _ in store.events(job.id)]
    assert kinds[0] == "JobStarted"
    assert kinds[-1] == "JobEnded"
    assert kinds.count("TrialEnded") == 2


def test_events_tell_what_all_candidates_have_apart_from_what_each_is(tmp_path: Path):
    seen: list[object] = []
    path = write_job(tmp_path, JOB.replace("{SPEED:", '{FIXED: "7", SPEED:'))
    run(path, outside=fake_outside(), on_event=seen.append)
    assert [e.shared for e in seen if isinstance(e, JobStarted)] == [{"FIXED": "7"}]
    for kind in (TrialStarted, TrialEnded):
        told = [(e.label, e.brief) for e in seen if isinstance(e, kind)]
        assert told == [
            ("local.1cpu FIXED=7 SPEED=slow", "local.1cpu SPEED=slow"),
            ("local.1cpu FIXED=7 SPEED=fast", "local.1cpu SPEED=fast"),
        ]


def test_an_engine_that_dies_is_resumed_without_repeating_finished_trials(tmp_path: Path):
    class Killed(BaseException):
        pass

    def die(event):
        if isinstance(event, StepEnded) and len(ended) == 1:
            raise Killed
        if isinstance(event, TrialEnded):
            ended.append(event)

    ended: list[TrialEnded] = []
    path = write_job(tmp_path)
    with pytest.raises(Killed):
        run(path, outside=fake_outside(), on_event=die)
    again: list[TrialEnded] = []
    job = resume("demo", outside=fake_outside(), on_event=lambda e: again.append(e))
    assert [e.label for e in again if isinstance(e, TrialEnded)] == ["local.1cpu SPEED=fast"]
    assert job.exit_code is ExitCode.OK
    assert {trial.attempt for trial in job.trials} == {1, 2}
    assert len(job.recommendations) == 2
    assert resume(job.id, outside=fake_outside()).trials == job.trials


def test_resume_refuses_inputs_that_changed(tmp_path: Path):
    job = run(write_job(tmp_path), outside=fake_outside())
    (tmp_path / "body.txt").write_text("other")
    with pytest.raises(InputError, match=rf"payload of {job.id} changed since it was started"):
        resume(job.id, outside=fake_outside())


def test_a_press_of_the_switch_ends_the_step_saves_and_leaves_the_rest(tmp_path: Path):
    switch = StopSwitch()

    def press(event):
        if isinstance(event, StepProgress) and event.progress.elapsed_s == 15:
            switch.press()

    job = run(write_job(tmp_path), outside=fake_outside(), on_event=press, switch=switch)
    assert job.status == "stopped"
    trial, unmeasured = job.trials
    assert (unmeasured.state, unmeasured.steps) == (TrialState.STOPPED, ())
    assert (trial.state, trial.reason) == (TrialState.STOPPED, Reason.BY_USER)
    assert trial.steps[0].requests.attempted > 100
    [row] = job.recommendations
    assert row.max_kind == "at_least"
    assert "cut-short" in {doubt.code for doubt in row.doubts}
    finished = resume(job.id, outside=fake_outside())
    assert [t.state for t in finished.trials] == [TrialState.SUCCEEDED] * 2


def test_a_stop_request_in_the_store_stops_the_owner(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("rightsizer.stop_switch.ASK_EVERY_S", 0.0)

    def ask(event):
        if isinstance(event, TrialEnded):
            rightsizer_stop(event)

    def rightsizer_stop(event):
        from rightsizer.housekeeping import stop

        stop("demo")

    job = run(write_job(tmp_path), outside=fake_outside(), on_event=ask)
    assert job.status == "stopped"
    assert [trial.state for trial in job.trials] == [TrialState.SUCCEEDED, TrialState.STOPPED]


def test_a_job_whose_time_is_up_completes_with_what_it_has(tmp_path: Path):
    text = JOB + "limits: {duration_s: 60.5}\n"
    switch = StopSwitch()
    real_watch = switch.watch

    def no_time_left_after_the_first(event):
        if isinstance(event, TrialEnded):
            real_watch(0.0, lambda: False)

    job = run(
        write_job(tmp_path, text),
        outside=fake_outside(),
        switch=switch,
        on_event=no_time_left_after_the_first,
    )
    assert job.status == "completed"
    assert [doubt.code for doubt in job.doubts] == ["cut-short"]
    assert "limits.duration_s of 60.5 s" in job.doubts[0].message
    [left] = job.rejected
    assert (left.reason, left.detail) == ("time-limit", "not measured: the job ended before")
    assert job.exit_code is ExitCode.PARTIAL


def test_a_glimpse_of_a_step_that_was_cut_short_sets_no_maximum(tmp_path: Path):
    switch = StopSwitch()

    def press(event):
        if isinstance(event, StepProgress) and event.progress.elapsed_s == 5:
            switch.press()

    job = run(write_job(tmp_path), outside=fake_outside(), on_event=press, switch=switch)
    assert job.trials[0].steps[0].verdict == "invalid"
    assert job.recommendations == ()
    assert job.exit_code is ExitCode.NO_VALID_MEASUREMENT


def test_a_candidate_refused_for_lack_of_cpus_is_measured_when_they_are_free(
    tmp_path: Path, monkeypatch
):
    machine = Machine(((0,), (1,)), 2, 8 << 30, "cpu", "x86_64")
    path = write_job(
        tmp_path,
        JOB.replace(
            "traffic:", "  - {instance_type: local.2cpu, environment: {SPEED: fast}}\ntraffic:"
        ),
    )
    monkeypatch.setattr("rightsizer.preparation.this_machine", lambda: machine)
    small = Machine(((0,),), 2, 8 << 30, "cpu", "x86_64")
    with monkeypatch.context() as scarce:
        scarce.setattr("rightsizer.preparation.this_machine", lambda: small)
        scarce.setattr("rightsizer.running.kept_to", lambda cpus: nullcontext())
        job = run(path, outside=fake_outside())
    assert [row.instance_type for row in job.rejected] == ["local.2cpu"]
    monkeypatch.setattr("rightsizer.running.kept_to", lambda cpus: nullcontext())
    job = resume(job.id, outside=fake_outside())
    assert job.rejected == ()
    assert len(job.recommendations) == 3


def test_candidates_with_servers_of_their_own_are_not_paired_for_effects(tmp_path: Path):
    text = JOB.replace(
        '    environment: {SPEED: ["slow", "fast"]}\n',
        "    environment: {SPEED: slow}\n"
        "  - instance_type: local.1cpu\n"
        "    environment: {SPEED: fast}\n"
        '    command: ["other", "{port}"]\n',
    )
    job = run(write_job(tmp_path, text), outside=fake_outside())
    assert job.effects == ()
    assert {row.command for row in job.recommendations} == {None, ("other", "{port}")}


def test_an_instance_type_that_no_host_provides_starts_nothing(tmp_path: Path):
    text = JOB.replace("local.1cpu", "ml.p4d.24xlarge")
    with pytest.raises(EnvironmentFault, match="no host can run any candidate"):
        run(write_job(tmp_path, text), outside=fake_outside())
    assert list_stored() == []


def test_more_workers_than_the_generator_has_cpus_start_nothing(tmp_path: Path):
    with pytest.raises(UsageError, match="9999 workers need as many CPUs: the generator may use"):
        run(write_job(tmp_path, JOB), workers=9999, outside=fake_outside())
    assert list_stored() == []


def test_a_candidate_no_host_can_run_is_rejected_beside_those_that_ran(tmp_path: Path):
    text = JOB.replace(
        "traffic:", "  - {instance_type: ml.inf1.xlarge, environment: {SPEED: fast}}\ntraffic:"
    )
    job = run(write_job(tmp_path, text), outside=fake_outside())
    assert job.exit_code is ExitCode.PARTIAL
    [rejected] = job.rejected
    assert (rejected.instance_type, rejected.reason) == ("ml.inf1.xlarge", "not-runnable")
    assert "needs 1 x inferentia" in rejected.detail


def test_bad_input_stores_nothing(tmp_path: Path):
    path = write_job(tmp_path, JOB.replace("steps: 3", "steps: 0"))
    with pytest.raises(ProblemsError):
        run(path, outside=fake_outside())
    (tmp_path / "body.txt").unlink()
    with pytest.raises(InputError, match=r"body\.txt does not exist"):
        run(write_job_without_body(tmp_path), outside=fake_outside())
    assert list_stored() == []


def write_job_without_body(folder: Path) -> Path:
    path = write_job(folder)
    (folder / "body.txt").unlink()
    return path


def test_a_second_engine_on_the_same_job_is_refused(tmp_path: Path):
    job = run(write_job(tmp_path), outside=fake_outside())
    with (
        Store(tmp_path / "store") as store,
        store.own(job.id),
        pytest.raises(StoreError, match=f"{job.id} is being run"),
    ):
        resume(job.id, outside=fake_outside())


def test_a_store_that_fills_up_ends_the_job_and_keeps_the_finished_trials(
    tmp_path: Path, monkeypatch
):
    saved = Store.save_trial
    calls = []

    def full(self, job_id, record):
        calls.append(record)
        if len(calls) > 2:
            raise StoreError("the store cannot be used", "No space left on device", "free space")
        saved(self, job_id, record)

    monkeypatch.setattr(Store, "save_trial", full)
    with pytest.raises(StoreError, match="No space left"):
        run(write_job(tmp_path), outside=fake_outside())
    monkeypatch.undo()
    monkeypatch.setenv("RIGHTSIZER_STORE", str(tmp_path / "store"))
    job = load("demo")
    assert job.status == "failed"
    assert [trial.state for trial in job.trials] == [TrialState.SUCCEEDED]


def test_values_of_secrets_are_nowhere_in_the_store(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hunter2-hunter2")
    text = JOB.replace(
        "  protocol: raw", "  protocol: raw\n  environment: {TOKEN: {secret: MY_TOKEN}}"
    )
    given = []

    def outcome(launch):
        given.append(launch.environment["TOKEN"])

    run(write_job(tmp_path, text), outside=fake_outside(outcome=outcome))
    assert given == ["hunter2-hunter2"] * 2
    stored = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert not [path for path in stored if b"hunter2" in path.read_bytes()]
    monkeypatch.delenv("MY_TOKEN")
    with pytest.raises(EnvironmentFault, match="secret MY_TOKEN is not set"):
        run(write_job(tmp_path, text), outside=fake_outside())


@pytest.mark.parametrize(
    ("traffic", "basis", "kind"),
    [
        ("{type: users, users: 1, duration_s: 30}", "closed", "at_least"),
        ("{type: rate, per_s: 5, arrivals: constant, duration_s: 60}", "open", "at_least"),
        ("{type: phases, phases: [{initial_users: 1, spawn_rate_per_min: 3, duration_s: 60}]}",
         "closed", "estimate"),
        ("{type: saturate, budget_s: 60}", "closed", "estimate"),
    ],
)  # fmt: skip
def test_every_kind_of_traffic_has_its_basis_and_kind(tmp_path: Path, traffic, basis, kind):
    old = "traffic: {type: stairs, users_per_step: 1, steps: 3, duration_s: 60}"
    text = JOB.replace(old, f"traffic: {traffic}")
    if "saturate" in traffic:
        text = text.replace(", latency_ms: 120", "")
    job = run(write_job(tmp_path, text), outside=fake_outside())
    assert {(row.basis, row.max_kind) for row in job.recommendations} == {(basis, kind)}
    if basis == "open":
        assert job.recommendations[0].max_invocations_per_min == pytest.approx(300, rel=0.02)


OWN_SERVERS = JOB.replace(
    """  - instance_type: local.1cpu
    environment: {SPEED: ["slow", "fast"]}
""",
    """  - {instance_type: local.1cpu, environment: {SPEED: fast}}
  - {instance_type: local.1cpu, environment: {SPEED: fast}, command: [other, "{port}"]}
""",
)


def test_candidates_that_differ_in_their_command_can_be_told_apart(tmp_path: Path):
    job = run(write_job(tmp_path, OWN_SERVERS), outside=fake_outside())
    table = result_table(job, None)
    assert table.count("[other {port}]") == 1
    for width in (60, 100, 200):
        assert "[other" in result_table(job, width)


def test_an_interrupt_from_python_leaves_a_stopped_job_and_no_running_trial(tmp_path: Path):
    def interrupt(event: object) -> None:
        if isinstance(event, StepEnded):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(write_job(tmp_path), outside=fake_outside(), on_event=interrupt)
    [line] = list_stored()
    assert line.status == "stopped"
    [trial] = load(line.id).trials
    assert trial.state is TrialState.INTERRUPTED
    assert resume(line.id, outside=fake_outside()).status == "completed"


def test_a_store_from_before_the_api_is_migrated_and_its_jobs_load_and_show(tmp_path: Path):
    job = run(write_job(tmp_path), outside=fake_outside())
    path = tmp_path / "store" / "rightsizer.db"
    rows = _rows(path)
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        m001_initial(old)
        old.execute("PRAGMA user_version = 1")
        for table, found in rows.items():
            for row in found:
                columns = ", ".join(row)
                marks = ", ".join(f":{name}" for name in row)
                old.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", row)
    loaded = load(job.id)
    assert loaded.status == "completed"
    assert loaded.document() == job.document()
    assert [line.id for line in list_stored()] == [job.id]
    assert result_table(loaded, 100) == result_table(job, 100)
    with Store(tmp_path / "store") as store:
        stored = store.job(job.id)
        assert (stored.request, stored.failure, stored.modified) == (None, "", "")
        [head] = heads(store)
        assert (head.is_of_api, head.modified) == (False, job.created)
        store.set_status(job.id, "stopped")
        assert store.job(job.id).modified > job.created


def _rows(path: Path) -> dict[str, list[dict[str, object]]]:
    """What a database of today has in the tables and columns of the first schema."""
    with closing(sqlite3.connect(":memory:")) as old, closing(sqlite3.connect(path)) as now:
        m001_initial(old)
        now.row_factory = sqlite3.Row
        columns = {
            table: [column[1] for column in old.execute(f"PRAGMA table_info({table})")]
            for table in ("jobs", "trials", "events")
        }
        return {
            table: [dict(row) for row in now.execute(f"SELECT {', '.join(names)} FROM {table}")]
            for table, names in columns.items()
        }
