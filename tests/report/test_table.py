"""The result table, on terminals and elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rightsizer.analysis import doubts
from rightsizer.analysis.figures import Doubt
from rightsizer.fleets import Price
from rightsizer.report.entries import worst_first
from rightsizer.report.markdown import job_markdown
from rightsizer.report.table import result_table
from rightsizer.results import COLUMNS

from .jobs import (
    TARGET,
    assert_golden,
    failed,
    make_job,
    measured,
    over_limit,
    usual_doubts,
    variables,
)

LONG = {"SAGEMAKER_TFS_INTRA_OP_PARALLELISM": "2", "ARGS": "--model resnet50 --verbose=true"}


def plain_rows(job) -> list[dict[str, str]]:
    """The table read back, as a script would: columns split at two spaces or more."""
    lines = result_table(job, None).split("\n\n")[0].splitlines()
    cells = [re.split(r" {2,}", line) for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_demo_on_a_terminal_reads_as_the_golden_table(width):
    assert_golden(f"table_{width}.txt", result_table(make_job(), width) + "\n")


def test_the_demo_elsewhere_reads_as_the_golden_table():
    assert_golden("table_plain.txt", result_table(make_job(), None) + "\n")


def test_elsewhere_a_row_is_one_line_under_whole_headers():
    job = make_job((measured(1, LONG, 800.0), measured(2, variables("1", "1"), 834.2)))
    header = result_table(job, None).splitlines()[0].split()
    assert header[: 1 + len(COLUMNS)] == ["Rank", *COLUMNS]
    rows = plain_rows(job)
    assert [row["Rank"] for row in rows] == ["1", "2"]
    assert rows[1]["EnvironmentParameters"].startswith("SAGEMAKER_TFS_INTRA_OP_PARALLELISM=2 ")
    [best, second] = (row["EndpointName"] for row in rows)
    assert best != second
    assert second.startswith("sm-epc-")


def test_every_number_has_its_interval_basis_provenance_and_price_basis_beside_it():
    row = plain_rows(make_job())[0]
    assert (row["MaxInvocations"], row["Interval"], row["Basis"]) == ("834", "801 to 868", "closed")
    assert (row["MaxKind"], row["Percentile"], row["ModelLatency"]) == ("estimate", "P95", "212 ms")
    assert (row["Provenance"], row["PriceBasis"]) == ("native", "cost model")


def test_maximum_and_interval_are_of_the_whole_fleet():
    job = make_job(
        (measured(1, {}, 100.0, max_invocations_per_min_ci=(98.0, 102.0)),),
        target={**TARGET, "invocations_per_min": 290.0},
    )
    row = plain_rows(job)[0]
    assert (row["InitialInstanceCount"], row["MaxInvocations"]) == ("3", "300")
    assert row["Interval"] == "294 to 306"


def test_costs_without_a_price_are_dashes():
    row = plain_rows(make_job(price=Price(None, "")))[0]
    assert (row["CostPerHour"], row["CostPerInference"], row["PriceBasis"]) == ("-", "-", "-")


def test_a_lower_bound_says_so():
    job = make_job(
        (measured(1, {}, 834.2, max_kind="at_least", max_invocations_per_min_ci=(801.0, None)),)
    )
    assert plain_rows(job)[0]["MaxKind"] == "at_least"
    assert plain_rows(job)[0]["Interval"] == "801 or more"
    assert "at least 834" in result_table(job, 80)


def test_a_row_shows_its_two_most_severe_doubts():
    many = (*usual_doubts(), doubts.at_least(False), doubts.content_refused(1, 10))
    job = make_job((measured(1, {}, 834.2, doubts=many),))
    assert plain_rows(job)[0]["Doubts"] == "content-refused, at-least"
    legend = result_table(job, None).split("Doubts:\n")[1].splitlines()
    assert legend[0].startswith("  content-refused (row 1): 1 of 10 replies")
    assert legend[2].startswith("  also noted: too-few-effective-samples, latency-set-by-one")


def test_a_doubt_is_explained_once_with_the_rows_that_have_it():
    job = make_job(
        (
            measured(1, variables("1", "0"), 500.0, doubts=(doubts.loopback(),)),
            measured(2, variables("1", "1"), 800.0, doubts=(doubts.loopback(),)),
            measured(3, variables("2", "0"), 600.0, doubts=(doubts.one_start(),)),
        )
    )
    text = result_table(job, None)
    assert text.count("no network time is in the latency") == 1
    assert "  loopback (rows 1, 3): " in text
    assert "  one-start (row 2): " in text


def test_a_doubt_whose_figures_differ_is_quoted_from_the_first_row_that_has_it():
    job = make_job(
        (
            measured(1, variables("1", "0"), 500.0, doubts=(doubts.no_interval(10.0),)),
            measured(2, variables("1", "1"), 800.0, doubts=(doubts.no_interval(13.5),)),
        )
    )
    said = "  too-few-effective-samples (every row): row 1: a window of 13.5 s"
    assert said in result_table(job, None)


def test_the_jobs_own_doubts_stand_in_the_legend():
    job = make_job(job_doubts=(doubts.cut_short("the job reached its time limit"),))
    assert "  cut-short (the job): the job reached its time limit" in result_table(job, None)


def test_doubts_are_ordered_by_severity_then_as_they_came_each_once():
    found = [Doubt("n", "note", ""), Doubt("w", "weakens", ""), Doubt("n", "note", "again")]
    found += [Doubt("b", "blocks", ""), Doubt("w2", "weakens", "")]
    ordered = worst_first(found)
    assert [doubt.code for doubt in ordered] == ["b", "w", "w2", "n"]
    assert ordered[-1].message == ""


def test_effects_say_what_matters_by_how_much_and_how_sure():
    job = make_job()
    known = replace(job.effects[0], ratio=1.518, ratio_ci=(1.396, 1.651), verdict="matters")
    none = replace(known, variable="N", ratio=0.99, ratio_ci=(0.93, 1.06), verdict="no-effect")
    vague = replace(known, variable="M", ratio_ci=(0.9, 2.0), verdict="unclear")
    open_ended = replace(known, variable="O", ratio_ci=None, verdict="unclear")
    text = result_table(replace(job, effects=(known, none, vague, open_ended)), None)
    assert "  TF_ENABLE_ONEDNN_OPTS 0 -> 1: x1.52 (1.40 to 1.65): matters\n" in text
    assert "  N 0 -> 1: x0.99 (0.93 to 1.06): no effect seen\n" in text
    assert "  M 0 -> 1: x1.52 (0.90 to 2.00): unclear; measuring longer narrows" in text
    assert "  O 0 -> 1: x1.52 (no interval): unclear; measuring longer, and a level over" in text


def test_a_variable_that_others_come_with_and_one_without_an_effect_have_a_line_each():
    batch = {"BATCHING": "true", "TIMEOUT": "1000"}
    trials = (
        measured(1, {"BATCHING": "false"}, 500.0),
        measured(2, {**batch, "SIZE": "8"}, 1000.0),
        failed(3, {**batch, "SIZE": "32"}),
    )
    job = make_job(trials)
    for text in (result_table(job, None), job_markdown(job).replace("**", "").replace("- ", "  ")):
        assert "  BATCHING false -> true: x2.00 (1.81 to 2.21), averaged over" in text
        assert "averaged over the measured settings of TIMEOUT, SIZE: matters\n" in text
        assert "  SIZE 8 -> 32: not known: no measured pair differs in it alone (no maximum" in text
        assert "TIMEOUT 1000" not in text
    [unknown] = job.document()["unknown_effects"]
    assert (unknown["variable"], unknown["values"]) == ("SIZE", ["8", "32"])


def test_rejected_candidates_stand_below_with_reason_and_detail_on_one_line():
    text = result_table(make_job(), None)
    assert (
        "  local.1cpu OMP_NUM_THREADS=2 TF_ENABLE_ONEDNN_OPTS=1: crashed: the server ended with "
        "signal SIGSEGV at 3 users fatal: [bold]boom[/]; its log ends: loading | fatal: boom\n"
    ) in text
    assert "\x1b" not in text


def test_without_a_recommendation_there_are_only_the_rejected_ones():
    job = make_job((over_limit(1, variables("1", "0")), failed(2, variables("1", "1"))))
    text = result_table(job, None)
    shared, rejected = text.split("\n\n")
    assert shared == "Every candidate has: OMP_NUM_THREADS=1"
    assert rejected.startswith("Not recommended:\n  local.1cpu TF_ENABLE_ONEDNN_OPTS=0")
    assert ": limit-unmet: P95 312 ms at 1 user, over the limit of 250 ms" in text


@pytest.mark.parametrize("width", [72, 80, 100, 120, 160, 200, 300])
@pytest.mark.parametrize("environment", [{}, variables("1", "1"), LONG])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(width, environment):
    job = make_job(
        (
            measured(1, environment, 12834.2, instance_type="ml.m5dn.24xlarge"),
            measured(2, {**environment, "X": "1"}, 700.0, max_kind="at_least"),
        ),
        price=Price(0.230123, "corroborated"),
    )
    text = result_table(job, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for figure in ("12,834", "12,321 to 13,348", "at least 700", "corroborated", "212 ms"):
        assert figure in text


@pytest.mark.parametrize("width", [40, 60])
def test_on_a_very_narrow_terminal_no_figure_is_cut(width):
    text = result_table(make_job(), width)
    assert "…" not in text
    assert "801 to 868" in text
    assert "too-few-effective-samples (every" in text


def test_a_terminal_that_can_gets_styles_and_a_file_never(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[" in result_table(make_job(), 100)
    assert "\x1b[" not in result_table(make_job(), None)


def test_words_of_the_spec_are_never_read_as_markup():
    job = make_job((measured(1, {"A": "[red]x[/red]"}, 800.0),))
    assert "A='[red]x[/red]'" in result_table(job, 120)


def test_an_effect_that_depends_on_another_variable_is_told_with_both_its_sizes():
    trials = [
        measured(i, variables(threads, onednn), per_min)
        for i, (threads, onednn, per_min) in enumerate(
            [("1", "0", 400.0), ("1", "1", 800.0), ("2", "0", 800.0), ("2", "1", 400.0)], 1
        )
    ]
    text = result_table(make_job(tuple(trials)), None)
    assert "Effects that depend on another variable:" in text
    assert (
        "OMP_NUM_THREADS 1 -> 2: x2.00 with TF_ENABLE_ONEDNN_OPTS=0, "
        "x0.50 with TF_ENABLE_ONEDNN_OPTS=1: they differ by x0.25"
    ) in text


def test_the_70_percent_count_the_month_the_million_and_the_bottleneck_are_columns():
    row = plain_rows(make_job((measured(1, {}, 100.0),)))[0]
    assert (row["InitialInstanceCount"], row["CountAt70Percent"]) == ("3", "5")
    assert (row["CostPerMonth"], row["CostPerMillion"]) == ("$37.20", "$2.83")
    assert row["Bottleneck"] == "cpu-bound"
