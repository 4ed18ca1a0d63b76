"""Variables that all candidates have with one value: told once, in every form."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO

import pytest
from rightsizer.fleets import Price
from rightsizer.report.csv_file import job_csv
from rightsizer.report.document import job_document
from rightsizer.report.markdown import job_markdown
from rightsizer.report.page.html import job_html
from rightsizer.report.sentence import closing_sentence
from rightsizer.report.table import result_table
from rightsizer.results import Job

from .jobs import assert_golden, failed, make_job, measured

FIXED = {"SERVER_INSTANCE_COUNT": "1", "SERVER_INTRA_OP_PARALLELISM": "1"}
LINE = "Every candidate has: SERVER_INSTANCE_COUNT=1 SERVER_INTRA_OP_PARALLELISM=1"


def environment(batching: str, **more: str) -> dict[str, str]:
    return {**FIXED, "SERVER_ENABLE_BATCHING": batching, **more}


BATCHED = environment("true", SERVER_MAX_BATCH_SIZE="8", SERVER_BATCH_TIMEOUT_MICROS="1000")


def default_job() -> Job:
    """As default jobs are: most variables have one value on a small machine."""
    trials = (
        measured(1, environment("false"), 548.4, 243.1),
        measured(2, BATCHED, 834.2, 212.4),
        failed(3, {**BATCHED, "SERVER_MAX_BATCH_SIZE": "32"}),
    )
    job = make_job(trials)
    rows = tuple(
        replace(row, p_best=0.5, tied_with_best=True) for row in job.recommendations
    )  # as after a race: the widest form
    return replace(job, recommendations=rows)


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_a_default_job_reads_as_the_golden_table(width):
    text = result_table(default_job(), width)
    assert_golden(f"table_default_{width or 'plain'}.txt", text + "\n")


@pytest.mark.parametrize("width", [60, 80, 120, 300])
def test_on_a_terminal_what_is_shared_is_told_once_and_no_name_is_broken(width):
    text = result_table(default_job(), width)
    for name, value in FIXED.items():
        assert text.count(f"{name}={value}") == 1
    for word in (f"{name}={value}" for name, value in BATCHED.items()):
        assert word in text
    assert max(map(len, text.splitlines())) <= width


def test_elsewhere_a_row_keeps_its_whole_environment_on_one_line():
    table, shared, *below = result_table(default_job(), None).split("\n\n")
    assert shared == LINE
    assert len(table.splitlines()) == 3
    assert table.count("SERVER_INSTANCE_COUNT=1 SERVER_INTRA_OP_PARALLELISM=1") == 2
    assert "SERVER_INSTANCE_COUNT" not in "".join(below)


def test_the_sentence_csv_and_json_stay_whole():
    job = default_job()
    whole = " ".join(f"{name}={value}" for name, value in BATCHED.items())
    assert f"with {whole}: " in closing_sentence(job)
    rows = csv.DictReader(StringIO(job_csv(job)))
    assert [json.loads(row["EnvironmentParameters"]) for row in rows] == [
        BATCHED,
        environment("false"),
    ]
    document = job_document(job)
    assert document["recommendations"][0]["environment"] == BATCHED
    assert document["rejected"][0]["environment"] == {**BATCHED, "SERVER_MAX_BATCH_SIZE": "32"}


def test_markdown_has_it_below_the_table_once():
    page = job_markdown(default_job())
    assert f"\n\n{LINE}\n\n" in page
    # In the finding, which is whole, and there.
    assert page.count("SERVER_INSTANCE_COUNT=1") == 2


def test_the_page_has_it_once_beside_the_finding_and_what_repeats_the_job():
    text = job_html(default_job(), {}, "now")
    assert text.count(LINE) == 1
    charts = text.partition('id="cost"')[2].partition('id="repeat"')[0]
    assert "SERVER_ENABLE_BATCHING=true" in charts
    assert "SERVER_INSTANCE_COUNT" not in charts


def test_a_job_of_one_candidate_shares_nothing():
    text = result_table(make_job((measured(1, FIXED, 800.0),)), 80)
    assert "Every candidate" not in text
    assert "SERVER_INSTANCE_COUNT=1" in text


def test_starts_of_one_candidate_are_one_candidate():
    again = replace(measured(2, FIXED, 810.0), candidate=measured(1, FIXED, 800.0).candidate)
    assert "Every" not in result_table(make_job((measured(1, FIXED, 800.0), again)), 80)


def test_what_was_not_measured_yet_counts_too():
    """A sweep whose first half has one value of a variable does not share it."""
    job = default_job()
    swept = {name: [value] for name, value in FIXED.items()}
    swept["SERVER_INSTANCE_COUNT"] = ["1", "2"]
    candidates = [{"instance_type": "local.1cpu", "environment": swept}]
    text = result_table(replace(job, spec={**job.spec, "candidates": candidates}), 120)
    assert "Every candidate has: SERVER_INTRA_OP_PARALLELISM=1\n" in text
    assert text.count("SERVER_INSTANCE_COUNT=1") == 3


def test_candidates_of_one_environment_show_their_types_alone():
    trials = (
        measured(1, FIXED, 500.0, instance_type="local.1cpu"),
        measured(2, FIXED, 900.0, instance_type="local.2cpu"),
    )
    text = result_table(make_job(trials, price=Price(0.02, "cost model")), 120)
    assert LINE in text
    assert text.count("SERVER_INSTANCE_COUNT") == 1
