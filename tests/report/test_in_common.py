"""What all candidates have alike is told once on a terminal, and in every row of a file."""

from __future__ import annotations

from rightsizer.report.in_common import in_common
from rightsizer.report.table import result_table

from .jobs import make_job, measured, variables


def test_only_what_is_the_same_in_all_of_several_is_in_common():
    assert in_common([{"A": "1", "B": "1"}, {"A": "1", "B": "2"}, {"A": "1"}]) == {"A": "1"}
    assert in_common([{"A": "1"}]) == {}
    assert in_common([]) == {}


def test_on_a_terminal_rows_bear_only_what_differs():
    job = make_job(
        (measured(1, variables("1", "0"), 800.0), measured(2, variables("1", "1"), 700.0))
    )
    terminal, plain = result_table(job, 100), result_table(job, None)
    assert terminal.count("OMP_NUM_THREADS=1") == 1
    assert "Every candidate has: OMP_NUM_THREADS=1" in terminal
    assert plain.count("OMP_NUM_THREADS=1") >= 2
    assert "Every candidate has" not in plain
