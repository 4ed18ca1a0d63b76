"""A comparison of two jobs as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from rightsizer.compared import Compared, Matched
from rightsizer.comparing import Comparison, Verdict, inconclusive
from rightsizer.report.comparison import (
    comparison_document,
    comparison_markdown,
    comparison_text,
)
from rightsizer.report.comparison_answer import answer

from .jobs import assert_golden, make_job

FIXED = {"SERVER_INSTANCE_COUNT": "1", "SERVER_INTRA_OP_PARALLELISM": "1"}
LINE = "Every candidate has: SERVER_INSTANCE_COUNT=1 SERVER_INTRA_OP_PARALLELISM=1"
MOVED = "host moved 6%"
NEVER = "B: never-ready: no answer\x1b[31m from [the] server"


def judged(verdict: Verdict, ratio: float, why: str = "") -> Comparison:
    return Comparison(verdict, ratio, (ratio * 0.98, ratio * 1.02), 1.05, 6, why)


def pair(comparison: Comparison, **own: str) -> Matched:
    environment = {**FIXED, **own}
    maxima = None if comparison.ratio is None else (300.0, 300.0 / comparison.ratio)
    return Matched(("local.1cpu",) * 2, (environment, environment), maxima, comparison)


def compared(*pairs: Matched, **given) -> Compared:
    return Compared(make_job(), make_job(), "open", is_paired=False, pairs=pairs, **given)


def mixed() -> Compared:
    return compared(
        pair(judged("inconclusive", 1.05, MOVED), SERVER_MAX_BATCH_SIZE="8"),
        pair(judged("same", 1.0), SERVER_MAX_BATCH_SIZE="16"),
        pair(inconclusive(NEVER), SERVER_MAX_BATCH_SIZE="32"),
        pair(judged("inconclusive", 0.97, MOVED), SERVER_MAX_BATCH_SIZE="64"),
    )


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_several_pairs_read_as_the_golden_text(width):
    assert_golden(f"compare_{width or 'plain'}.txt", comparison_text(mixed(), width) + "\n")


def test_several_pairs_as_markdown_read_as_the_golden_text():
    assert_golden("compare.md", comparison_markdown(mixed()))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_comparison_fits_its_terminal_and_tells_once_what_all_share(width):
    text = comparison_text(mixed(), width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("SERVER_INSTANCE_COUNT=1") == 1
    assert "SERVER_MAX_BATCH_SIZE=64" in text


def test_elsewhere_a_pair_is_one_line_with_its_whole_environment():
    table = comparison_text(mixed(), None).split("\n\n")[0].splitlines()
    assert len(table) == 5
    assert all(" ".join(f"{k}={v}" for k, v in FIXED.items()) in row for row in table[1:])


@pytest.mark.parametrize("render", [comparison_text, comparison_markdown])
def test_every_reason_is_told_with_the_pairs_that_it_holds_for(render):
    text = render(mixed())
    assert "inconclusive: host moved 6% (pairs 1, 4)\n" in text
    assert "inconclusive: B: never-ready: no answer from " in text
    assert "server (pair 3)\n" in text
    assert "\x1b" not in text


def test_the_answer_of_several_pairs_counts_them_all():
    assert answer(mixed()) == (
        "B is not to be told from A: 3 of 4 pairs are inconclusive, 1 is the same."
    )


def test_a_reason_that_all_pairs_have_is_in_the_answer():
    one, _, _, other = mixed().pairs
    said = answer(compared(one, other))
    assert said == ("B is not to be told from A: 2 of 2 pairs are inconclusive: host moved 6%.")


def test_the_answer_names_the_pair_with_the_largest_difference():
    said = answer(
        compared(
            pair(judged("worse", 1.04), N="1"),
            pair(judged("better", 0.5), N="2"),
            pair(judged("worse", 1.2), N="3"),
            fail_on_regression_ratio=0.05,
        )
    )
    assert said == (
        "B is worse: 2 of 3 pairs are worse, 1 is better; the most: local.1cpu N=3 costs +20.0 % "
        "an inference (95 % interval +17.6 % to +22.4 %); 1 of 3 regressed by more than 5 %."
    )


def test_the_answer_of_one_pair_says_why_it_is_inconclusive():
    one = compared(pair(judged("inconclusive", 1.05, MOVED), N="1"))
    whole = "local.1cpu SERVER_INSTANCE_COUNT=1 SERVER_INTRA_OP_PARALLELISM=1 N=1"
    assert answer(one) == (
        f"B is not to be told from A: {whole} costs +5.0 % an inference "
        "(95 % interval +2.9 % to +7.1 %); inconclusive: host moved 6%."
    )
    assert comparison_text(one).count(MOVED) == 1
    none = compared(pair(inconclusive("A: crashed"), N="1"))
    assert answer(none).endswith("N=1: inconclusive: A: crashed.")


def test_sides_that_differ_are_both_named():
    environments: tuple[Mapping[str, str], Mapping[str, str]] = (
        {**FIXED, "N": "1"},
        {**FIXED, "N": "2"},
    )
    one = replace(pair(judged("worse", 1.2)), environments=environments)
    text = comparison_text(compared(one), 80)
    assert LINE.replace(" SERVER_INTRA", "\n    SERVER_INTRA") in text or LINE in text
    assert "B is worse: local.1cpu N=1 -> local.1cpu N=2 costs +20.0 %" in text


def test_the_document_stays_whole():
    pairs = comparison_document(mixed())["pairs"]
    assert pairs[0]["a"]["environment"] == {**FIXED, "SERVER_MAX_BATCH_SIZE": "8"}
    assert pairs[2]["why"] == NEVER
