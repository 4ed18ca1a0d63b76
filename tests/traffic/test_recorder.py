"""Samples on their way to the file, and what a live view sees of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rightsizer.samples import RECORD, Outcome, read_samples
from rightsizer.traffic.recorder import LIVE_SAMPLES, Recorder

MS = 1_000_000


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    opened = Recorder(tmp_path / "samples")
    yield opened
    opened.close()


def record(recorder: Recorder, start_ms: int, took_ms: int, outcome: Outcome) -> None:
    start_ns = start_ms * MS
    end_ns = start_ns + took_ms * MS
    recorder.record(start_ns, start_ns, start_ns, end_ns, end_ns, 3, 2, 1, 0, 0, 200, outcome)


def test_what_is_committed_can_be_read(recorder: Recorder, tmp_path: Path):
    for number in range(2500):
        record(recorder, number, 5, Outcome.SUCCEEDED)
    assert recorder.in_file() == recorder.commit() == 2500
    assert len(read_samples([tmp_path / "samples"])) == 2500
    record(recorder, 1, 5, Outcome.RESET)
    assert recorder.commit() == 2501
    assert read_samples([tmp_path / "samples"])["outcome"].tolist()[-1] == Outcome.RESET


def test_a_live_view_counts_the_step_and_looks_back_some_seconds(recorder: Recorder):
    record(recorder, 0, 900, Outcome.SUCCEEDED)
    for number in range(100):
        record(recorder, 6000 + number * 10, number + 1, Outcome.SUCCEEDED)
    record(recorder, 6990, 5, Outcome.STATUS)
    record(recorder, 6990, 0, Outcome.DROPPED)
    rate, p95_ms = recorder.live(10_000 * MS, 0)
    assert (recorder.attempted, recorder.succeeded, recorder.errors) == (102, 101, 2)
    assert rate == pytest.approx(100 / 5.0)
    assert p95_ms == pytest.approx(95.0, abs=2.0)
    recorder.begin_step()
    assert recorder.live(10_000 * MS, 10_000 * MS) == (0.0, None)
    assert recorder.attempted == 0
    assert recorder.commit() == 103


def test_at_a_high_rate_the_live_view_looks_back_less_far(recorder: Recorder):
    for number in range(2 * LIVE_SAMPLES):
        record(recorder, number, 0, Outcome.SUCCEEDED)
    rate, _ = recorder.live(2 * LIVE_SAMPLES * MS, 0)
    assert rate == pytest.approx(1000, rel=0.01)


def test_a_full_disk_is_told_at_the_commit_and_loses_no_count(tmp_path: Path):
    recorder = Recorder(tmp_path / "samples")
    record(recorder, 0, 1, Outcome.SUCCEEDED)
    assert recorder.in_file() == 1
    recorder._file.close()
    recorder._file = full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115
    for number in range(2 * 65536 // RECORD.size):
        record(recorder, number, 1, Outcome.SUCCEEDED)
    assert recorder.in_file() == 1
    with pytest.raises(OSError, match="No space left"):
        recorder.commit()
    full.close()
