"""What several generator processes say and leave, put together."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from rightsizer.errors import EnvironmentFault
from rightsizer.samples import RECORD
from rightsizer.schedule import closed_step
from rightsizer.traffic.gathering import Gathering
from rightsizer.traffic.merging import (
    merged_health,
    merged_journal,
    merged_progress,
    merged_record,
)
from rightsizer.traffic.records import Health


def end(**changed: object) -> dict[str, object]:
    usual = {
        "begin_ns": 1000,
        "end_ns": 5000,
        "drained_ns": 6000,
        "complete": True,
        "journal": [[1000, 2]],
        "generator_cpu_ratio": 0.25,
        "content_checked": 2,
        "content_refused": 0,
        "health": asdict(Health(loop_lag_p99_ms=1.0, connections=2, reopened=1)),
    }
    return {**usual, **changed}


def test_progress_is_added_up_and_the_slowest_p95_shown():
    one = {
        "elapsed_s": 1.5,
        "users": 2,
        "attempted": 10,
        "succeeded": 9,
        "errors": 1,
        "per_s": 6.0,
        "p95_ms": 20.0,
    }
    other = {**one, "elapsed_s": 1.4, "users": 1, "p95_ms": None}
    found = merged_progress([one, other], committed=15)
    assert (found.elapsed_s, found.users, found.attempted, found.per_s) == (1.5, 3, 20, 12.0)
    assert (found.succeeded, found.errors, found.committed) == (18, 2, 15)
    assert found.p95_ms == 20.0
    assert merged_progress([other], 0).p95_ms is None


def test_a_step_lasts_from_the_common_begin_until_the_last_has_drained():
    step = closed_step(0, 4, 10.0)
    later = end(end_ns=5100, drained_ns=7000, generator_cpu_ratio=0.5, content_refused=1)
    found = merged_record(step, [end(), later], committed=40, lost=0)
    assert (found.begin_ns, found.end_ns, found.drained_ns) == (1000, 5100, 7000)
    assert (found.committed, found.complete, found.generator_cpu_ratio) == (40, True, 0.5)
    assert (found.content_checked, found.content_refused) == (4, 1)
    assert found.journal == ((1000, 4),)
    assert found.health.connections == 4


def test_a_step_that_lost_a_process_is_not_complete():
    found = merged_record(closed_step(0, 4, 10.0), [end()], committed=3, lost=1)
    assert not found.complete
    assert found.health.lost_workers == 1


def test_users_of_all_processes_are_counted_at_each_change_of_any():
    journals = [[(10, 2), (30, 3), (50, 1)], [(10, 1), (40, 2), (50, 0)]]
    assert merged_journal(journals) == ((10, 3), (30, 4), (40, 5), (50, 1))


def test_health_is_the_worst_of_each_figure_and_unknown_where_nobody_knows():
    ill = asdict(Health(run_delay_ratio=0.2, loop_lag_max_ms=50.0, connections=3, reopened=1))
    well = asdict(Health(run_delay_ratio=0.01, connections=4, clock_gap_s=0.0))
    found = merged_health([ill, well], lost=0)
    assert (found.run_delay_ratio, found.loop_lag_max_ms, found.clock_gap_s) == (0.2, 50.0, 0.0)
    assert (found.connections, found.reopened) == (7, 1)
    assert found.host_steal_ratio is None


def records(*numbers: int) -> bytes:
    return b"".join(bytes([number]) * RECORD.size for number in numbers)


def test_samples_are_gathered_as_far_as_they_were_committed(tmp_path: Path):
    gathering = Gathering(tmp_path / "samples-0.bin", 2)
    first, second = gathering.parts
    first.write_bytes(records(1, 2, 3))
    second.write_bytes(records(9))
    gathering.take(0, 2)
    gathering.take(1, 1)
    gathering.take(0, 3)
    gathering.take(0, 3)
    assert gathering.whole.read_bytes() == records(1, 2, 9, 3)
    assert gathering.committed == 4
    gathering.clean()
    assert [path.name for path in tmp_path.glob("*.bin")] == ["samples-0.bin"]


def test_one_process_writes_the_whole_itself(tmp_path: Path):
    gathering = Gathering(tmp_path / "samples-0.bin", 1)
    assert gathering.parts == [gathering.whole]
    gathering.whole.write_bytes(records(1, 2))
    gathering.take(0, 2)
    gathering.clean()
    assert (gathering.committed, gathering.whole.read_bytes()) == (2, records(1, 2))


def test_a_file_shorter_than_its_process_said_is_a_fault(tmp_path: Path):
    gathering = Gathering(tmp_path / "samples-0.bin", 2)
    gathering.parts[0].write_bytes(records(1))
    with pytest.raises(EnvironmentFault, match="shorter than its process said"):
        gathering.take(0, 2)
