"""The result as CSV and as Markdown."""

from __future__ import annotations

import csv
import json
from io import StringIO

from rightsizer.fleets import Price
from rightsizer.report.csv_file import job_csv
from rightsizer.report.markdown import job_markdown
from rightsizer.report.sentence import finding
from rightsizer.results import COLUMNS

from .jobs import assert_golden, failed, make_job, measured, variables


def rows_of(job) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(job_csv(job))))


def test_the_demo_as_csv_reads_as_the_golden_file():
    assert_golden("job.csv", job_csv(make_job()))


def test_the_references_columns_come_first():
    header = job_csv(make_job()).splitlines()[0].split(",")
    assert tuple(header[: len(COLUMNS)]) == COLUMNS


def test_csv_numbers_are_unrounded_and_read_back():
    job = make_job()
    row = rows_of(job)[0]
    assert job.best is not None
    assert float(row["CostPerInference"]) == job.best.cost_per_inference_usd
    assert float(row["MaxInvocationsPerInstanceLow"]) == 834.2 * 0.96
    assert json.loads(row["EnvironmentParameters"]) == variables("1", "1")


def test_what_is_not_known_is_empty_in_csv():
    trial = measured(1, {}, 834.2, max_invocations_per_min_ci=(801.0, None))
    row = rows_of(make_job((trial,), price=Price(None, ""), target=None))[0]
    empty = ("CostPerHour", "CostPerInference", "PriceBasis", "UtilisationAtTarget")
    assert [row[name] for name in (*empty, "MaxInvocationsPerInstanceHigh")] == [""] * 5
    assert row["MaxInvocationsPerInstanceLow"] == "801.0"


def test_csv_lists_every_doubt_by_code():
    codes = rows_of(make_job())[0]["Doubts"].split(";")
    assert codes[:2] == ["too-few-effective-samples", "latency-set-by-one-payload"]
    assert len(codes) == 6


def test_values_with_commas_and_quotes_survive_csv():
    environment = {"ARGS": 'a,"b"\nc'}
    (row,) = rows_of(make_job((measured(1, environment, 800.0),)))
    assert json.loads(row["EnvironmentParameters"]) == environment


def test_without_recommendations_csv_is_its_header():
    assert len(job_csv(make_job((failed(1, {}),))).splitlines()) == 1


def test_the_demo_as_markdown_reads_as_the_golden_page():
    assert_golden("job.md", job_markdown(make_job()) + "\n")


def test_markdown_has_the_finding_and_every_section():
    page = job_markdown(make_job())
    assert page.startswith("# resnet50-threads\n")
    assert finding(make_job()) in page
    assert "Next:" not in page
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Recommendations",
        "## Effect of each variable on the maximum, all else equal",
        "## What runs out first",
        "## Not recommended",
        "## Doubts",
        "## What the words mean",
    ]


def test_markdown_explains_every_doubt_not_only_the_tables():
    page = job_markdown(make_job())
    assert "- **loopback (every row)**: " in page
    assert "also noted" not in page


def test_cells_with_bars_and_marks_do_not_break_the_markdown_table():
    page = job_markdown(make_job((measured(1, {"A": "x|y", "B": "<b>*"}, 800.0),)))
    (row,) = [line for line in page.splitlines() if line.startswith("| 1 |")]
    assert r"A='x\|y' B='\<b>\*'" in row
    (header,) = [line for line in page.splitlines() if line.startswith("| Rank |")]
    assert row.replace(r"\|", "").count("|") == header.count("|")
