"""The generator's own health, from counters that a test can write."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from rightsizer.traffic.health import GRID_NS, HealthMeter, read_counters


@pytest.fixture
def meter(tmp_path: Path):
    opened = HealthMeter(tmp_path)
    yield opened
    opened.close()


def write_proc(proc: Path, *, delay_ns: int, steal: int, idle: int, pressure_us: int) -> None:
    (proc / "self").mkdir(exist_ok=True)
    (proc / "pressure").mkdir(exist_ok=True)
    (proc / "self/schedstat").write_text(f"71233 {delay_ns} 1\n")
    (proc / "stat").write_text(f"cpu  10 0 10 {idle} 0 0 0 {steal} 5 0\ncpu0 1 1 1 1 1 1 1 1 1\n")
    (proc / "pressure/cpu").write_text(
        f"some avg10=0.33 avg60=1.65 avg300=6.76 total={pressure_us}\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )


def test_counters_become_ratios_of_the_step_s_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("rightsizer.traffic.health.time.monotonic", lambda: now_s)
    monkeypatch.setattr("rightsizer.traffic.health.time.clock_gettime", lambda clock: boot_s)
    now_s, boot_s = 100.0, 100.0
    write_proc(tmp_path, delay_ns=0, steal=0, idle=80, pressure_us=1_000_000)
    meter = HealthMeter(tmp_path)
    now_s, boot_s = 110.0, 113.0
    write_proc(tmp_path, delay_ns=500_000_000, steal=25, idle=155, pressure_us=2_500_000)
    health = meter.end(connections=4, reopened=1)
    meter.close()
    assert health.run_delay_ratio == pytest.approx(0.05)
    assert health.host_steal_ratio == pytest.approx(0.25)
    assert health.host_pressure_ratio == pytest.approx(0.15)
    assert health.clock_gap_s == pytest.approx(3.0)
    assert (health.connections, health.reopened, health.lost_workers) == (4, 1, 0)


def test_what_the_platform_does_not_count_is_none(meter: HealthMeter):
    health = meter.end()
    assert health.run_delay_ratio is None
    assert health.host_steal_ratio is None
    assert health.host_pressure_ratio is None
    assert health.loop_lag_p99_ms is None


def test_this_machine_s_counters_are_read():
    counters = read_counters()
    assert counters.run_delay_s is not None
    assert counters.stolen is not None
    assert counters.stolen[1] > 0


def test_a_stall_counts_for_every_point_of_the_grid_that_it_hides(meter: HealthMeter):
    due_ns = meter.woke(0, 1000)
    assert due_ns == GRID_NS
    for _ in range(149):
        due_ns = meter.woke(due_ns, due_ns)
    stall_ns = 50 * GRID_NS
    after_ns = meter.woke(due_ns, due_ns + stall_ns)
    assert after_ns == due_ns + stall_ns + GRID_NS
    health = meter.end()
    assert health.loop_lag_max_ms == pytest.approx(500.0)
    # 51 of 201 points lie in the stall: the two longest lags are beyond the 99th percentile.
    assert health.loop_lag_p99_ms == pytest.approx(480.0)


def test_time_in_the_garbage_collector_is_seen_and_a_new_step_forgets_it(
    meter: HealthMeter,
):
    gc.collect()
    assert meter.end().gc_pause_ratio > 0  # type: ignore[operator]
    meter.begin()
    assert meter.end().gc_pause_ratio == 0


@pytest.mark.parametrize(
    ("membership", "folder", "counts"),
    [
        ("0::/job\n", "job", ("throttled_usec 1000000", "throttled_usec 3000000")),
        ("0::/elsewhere\n", "", ("throttled_usec 1000000", "throttled_usec 3000000")),
        (
            "3:memory:/x\n1:cpu,cpuacct:/job\n0::/\n",
            "cpu,cpuacct/job",
            ("throttled_time 1000000000", "throttled_time 3000000000"),
        ),
    ],
)
def test_the_quota_of_its_own_control_group_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, membership, folder, counts
):
    monkeypatch.setattr("rightsizer.traffic.health.time.monotonic", lambda: now_s)
    stat = tmp_path / "groups" / folder / "cpu.stat"
    stat.parent.mkdir(parents=True)
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text(membership)
    now_s = 100.0
    stat.write_text(f"nr_periods 5\n{counts[0]}\n")
    meter = HealthMeter(tmp_path, tmp_path / "groups")
    now_s = 110.0
    stat.write_text(f"nr_periods 9\n{counts[1]}\n")
    assert meter.end().throttled_ratio == pytest.approx(0.2)
    meter.close()


def test_without_a_quota_nothing_is_told_of_it(tmp_path: Path):
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 12\n")
    assert read_counters(tmp_path, tmp_path).throttled_s is None
