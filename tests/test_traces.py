"""Traces that a job file names, read into its spec."""

from __future__ import annotations

from pathlib import Path

import pytest
from rightsizer.errors import InputError
from rightsizer.spec import JobSpec, RateTraffic
from rightsizer.traces import with_trace


def spec(**traffic) -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "a",
            "server": {"url": "http://a"},
            "payload": {"archive": "a"},
            "candidates": [{"instance_type": "local.1cpu"}],
            "traffic": {"type": "rate", **traffic},
        }
    )


def traced(folder: Path, **traffic) -> RateTraffic:
    found = with_trace(spec(**traffic), folder).traffic
    assert isinstance(found, RateTraffic)
    return found


def test_a_file_of_arrival_times_becomes_part_of_the_spec(tmp_path):
    (tmp_path / "times.txt").write_text("0\n0.25\n\n 3.5 \n")
    found = traced(tmp_path, times_s="times.txt")
    assert found.times_s == (0.0, 0.25, 3.5)
    assert found.duration_s == 4.0


def test_a_file_of_requests_per_minute_becomes_part_of_the_spec(tmp_path):
    (tmp_path / "load.txt").write_text("120\n0\n60\n")
    found = traced(tmp_path, per_min="load.txt")
    assert found.per_min == (120, 0, 60)
    assert found.duration_s == 180.0


def test_a_given_length_stays(tmp_path):
    assert traced(tmp_path, times_s=[0.5, 70.0], duration_s=30.0).duration_s == 30.0
    assert traced(tmp_path, times_s=[0.5, 70.0]).duration_s == 71.0


def test_a_stored_spec_needs_no_file_any_more(tmp_path):
    (tmp_path / "load.txt").write_text("120\n")
    stored = with_trace(spec(per_min="load.txt"), tmp_path).model_dump(mode="json")
    again = with_trace(JobSpec.model_validate(stored), tmp_path / "elsewhere")
    assert again.traffic.per_min == (120,)


def test_a_rate_and_other_traffic_stay_as_they_are(tmp_path):
    plain = spec(per_s=3.0)
    assert with_trace(plain, tmp_path) is plain


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1\nx\n", r"t.txt:2: not a number: x; give one number a line"),
        ("2\n1\n", r"t.txt is refused: arrival times must ascend"),
        ("nan\n", r"t.txt is refused: an arrival time must be at least 0, not nan"),
        ("", r"t.txt is refused: give the path of a file, or a list of numbers"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path, text, why):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(InputError, match=why):
        traced(tmp_path, times_s="t.txt")


def test_a_trace_that_is_missing_or_far_too_long_is_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not exist"):
        traced(tmp_path, times_s="t.txt")
    (tmp_path / "t.txt").write_text("1\n" * 100)
    monkeypatch.setattr("rightsizer.traces.MAX_TRACE_BYTES", 100)
    with pytest.raises(InputError, match="too long"):
        traced(tmp_path, per_min="t.txt")
