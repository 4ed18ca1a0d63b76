"""A comparison of two jobs: as text, as Markdown for a pull request, as JSON."""

from __future__ import annotations

from typing import Any

from rightsizer.compared import Compared, Matched
from rightsizer.comparing import Comparison
from rightsizer.report.layout import aligned, label
from rightsizer.report.markdown import markdown_table
from rightsizer.units import ABSENT, significant

SCHEMA = "rightsizer/comparison/1"
HEADERS = ("Candidate", "Verdict", "CostRatio", "CostRatioCI", "MaxA", "MaxB", "Starts", "CouldSee")
MARKDOWN_HEADERS = (
    "Candidate",
    "B is",
    "Cost, B / A",
    "95 % interval",
    "Max/min A",
    "Max/min B",
    "Starts",
    "Smallest difference seen",
)


def comparison_document(found: Compared) -> dict[str, Any]:
    """The JSON document; numbers unrounded."""
    return {
        "schema": SCHEMA,
        "verdict": found.verdict,
        "paired": found.is_paired,
        "basis": found.basis,
        "job_a": found.job_a.id,
        "job_b": found.job_b.id,
        "host_moved_ratio": found.moved_ratio,
        "fail_on_regression_ratio": found.fail_on_regression_ratio,
        "regressions": len(found.regressions),
        "notes": list(found.notes),
        "pairs": [_pair_document(pair) for pair in found.pairs],
    }


def _pair_document(pair: Matched) -> dict[str, Any]:
    comparison = pair.comparison
    maxima = pair.max_invocations_per_min or (None, None)
    sides = zip(pair.instance_types, pair.environments, maxima, strict=True)
    a, b = (
        {
            "instance_type": name,
            "environment": dict(environment),
            "max_invocations_per_min": maximum,
        }
        for name, environment, maximum in sides
    )
    return {
        "a": a,
        "b": b,
        "verdict": comparison.verdict,
        "cost_ratio": comparison.ratio,
        "cost_ratio_ci": comparison.ratio_ci,
        "detectable_ratio": comparison.detectable_ratio,
        "starts": comparison.starts,
        "why": comparison.why,
    }


def comparison_text(found: Compared) -> str:
    """A table, one line a pair, and the answer in a sentence."""
    rows = [[_name(pair), *_cells(pair)] for pair in found.pairs]
    lines = [*aligned(HEADERS, rows), "", *_reasons(found), *found.notes, answer(found)]
    return "\n".join(lines)


def comparison_markdown(found: Compared) -> str:
    """A heading with the answer, and the table."""
    rows = [[_name(pair), *_cells(pair)] for pair in found.pairs]
    how = "measured in turn, on shared arrivals and payloads" if found.is_paired else "stored jobs"
    return "\n".join(
        [
            f"**{answer(found)}**",
            "",
            markdown_table(MARKDOWN_HEADERS, rows),
            "",
            f"A: `{found.job_a.id}`, B: `{found.job_b.id}`; {found.basis} basis, {how}. "
            "Cost is that of an inference; intervals hold together.",
            *_reasons(found),
            *found.notes,
            "",
        ]
    )


def answer(found: Compared) -> str:
    """`B is worse: local.1cpu costs 7.1 % more an inference (95 % interval 4.0 to 10 %).`"""
    pairs = [pair for pair in found.pairs if pair.comparison.verdict == found.verdict]
    every, told = len(found.pairs), pairs or found.pairs
    if every > 1 and found.verdict in ("same", "inconclusive"):
        said = f"{len(pairs)} of {every} pairs are {found.verdict}"  # no pair speaks for them
    else:
        said = _sentence(told[0])
        said += f" ({len(pairs)} of {every} pairs are {found.verdict})" if every > 1 else ""
    if found.fail_on_regression_ratio is not None:
        allowed = f"{100 * found.fail_on_regression_ratio:g} %"
        many = len(found.regressions)
        said += f"; {many} of {len(found.pairs)} regressed by more than {allowed}"
    return f"B is {_AS[found.verdict]}: {said}."


def _reasons(found: Compared) -> list[str]:
    """Of several pairs: what some of them are inconclusive for."""
    if len(found.pairs) < 2:
        return []
    by_reason: dict[str, list[Matched]] = {}
    for pair in found.pairs:
        if pair.comparison.why:
            by_reason.setdefault(pair.comparison.why, []).append(pair)
    return [
        f"inconclusive: {why} ({_name(pairs[0]) if len(pairs) == 1 else f'{len(pairs)} pairs'})"
        for why, pairs in by_reason.items()
    ]


_AS = {
    "better": "better",
    "worse": "worse",
    "same": "the same",
    "inconclusive": "not to be told from A",
}


def _sentence(pair: Matched) -> str:
    comparison = pair.comparison
    if comparison.ratio is None or comparison.ratio_ci is None:
        return f"{_name(pair)}: {comparison.why}"
    low, high = comparison.ratio_ci
    ends = (
        "" if low is None or high is None else f" (95 % interval {_signed(low)} to {_signed(high)})"
    )
    why = f"; inconclusive: {comparison.why}" if comparison.why else ""
    return f"{_name(pair)} costs {_signed(comparison.ratio)} an inference{ends}{why}"


def _signed(ratio: float) -> str:
    """A ratio as a difference: `+4.1 %`."""
    return f"{100 * (ratio - 1):+.1f} %"


def _cells(pair: Matched) -> list[str]:
    comparison = pair.comparison
    maxima = pair.max_invocations_per_min
    a, b = (ABSENT, ABSENT) if maxima is None else map(significant, maxima)
    return [
        comparison.verdict,
        ABSENT if comparison.ratio is None else f"{comparison.ratio:.3f}",
        _interval(comparison),
        a,
        b,
        str(comparison.starts),
        ABSENT
        if comparison.detectable_ratio is None
        else f"{100 * (comparison.detectable_ratio - 1):.1f} %",
    ]


def _interval(comparison: Comparison) -> str:
    if comparison.ratio_ci is None:
        return ABSENT
    low, high = comparison.ratio_ci
    return f"{low:.3f} to {high:.3f}"


def _name(pair: Matched) -> str:
    a, b = (
        label(kind, environment)
        for kind, environment in zip(pair.instance_types, pair.environments, strict=True)
    )
    return a if a == b else f"{a} -> {b}"
