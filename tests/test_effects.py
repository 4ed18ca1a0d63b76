"""Which variable matters: a factorial's main effects, worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import pytest
from rightsizer.analysis import doubts
from rightsizer.analysis.figures import Interval
from rightsizer.contrasts import START_SPREAD_RATIO
from rightsizer.effects import Effect, UnknownEffect, effects_of, unknown_effects
from rightsizer.fleets import Fleet
from rightsizer.interactions import interactions_of
from rightsizer.recommendation import Recommendation

Z = 1.96


def row(
    environment: dict[str, str],
    maximum: float,
    sd: float | None = 0.01,
    instance_type: str = "local.1cpu",
    basis: str = "closed",
) -> Recommendation:
    """A row whose maximum has this sd of its log, by its 95% interval; None: no interval."""
    ci: Interval | None = None
    if sd is not None:
        ci = (maximum * math.exp(-Z * sd), maximum * math.exp(Z * sd))
    return Recommendation(
        rank=1,
        trial_id=f"{instance_type} {environment} {basis}",
        instance_type=instance_type,
        environment=environment,
        command=None,
        basis=basis,  # type: ignore[arg-type]
        provenance="native",
        max_invocations_per_min=maximum,
        max_invocations_per_min_ci=ci,
        max_kind="estimate",
        percentile="P95",
        model_latency_ms=100.0,
        model_latency_ms_ci=None,
        unloaded_latency_ms=None,
        price_per_hour_usd=None,
        price_basis="",
        cost_per_inference_usd=None,
        cost_per_inference_usd_ci=None,
        fleet=Fleet(1, None, maximum, None, None, None, None, None),
        p_best=None,
        tied_with_best=None,
        cpu_utilization_percent=None,
        memory_utilization_percent=None,
        curve=(),
        doubts=(),
    )


def two_by_two(*maxima: float, sd: float | None = 0.01) -> list[Recommendation]:
    """A and B at 0 and 1: the maxima of 00, 01, 10, 11."""
    cells = [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    return [row({"A": a, "B": b}, m, sd) for (a, b), m in zip(cells, maxima, strict=True)]


def test_a_two_by_two_factorial_gives_both_main_effects_exactly():
    # A: 300/100 and 330/110, 3 both times. B: 110/100 and 330/300, 1.1 both times.
    first, second = effects_of(two_by_two(100, 110, 300, 330))
    assert (first.variable, first.baseline, first.value, first.pairs) == ("A", "0", "1", 2)
    assert first.ratio == pytest.approx(3.0, rel=1e-12)
    assert (second.variable, second.baseline, second.value, second.pairs) == ("B", "0", "1", 2)
    assert second.ratio == pytest.approx(1.1, rel=1e-12)


def test_a_trial_that_stands_for_several_types_counts_once():
    rows = two_by_two(100, 110, 300, 330)
    twins = [replace(row, instance_type="ml.twin.large", rank=2) for row in rows]
    assert effects_of([*rows, *twins]) == effects_of(rows)


def test_an_effect_is_the_geometric_mean_over_the_other_variables():
    # A: 200/100 and 800/100: the mean of doubling and eightfold is fourfold
    effect = next(e for e in effects_of(two_by_two(100, 100, 200, 800)) if e.variable == "A")
    assert effect.ratio == pytest.approx(4.0, rel=1e-12)


def test_the_interval_adds_each_rows_own_error_and_the_spread_between_starts():
    effect = effects_of(two_by_two(100, 110, 300, 330, sd=0.02))[0]
    # four rows, each of variance 0.02^2 + 0.03^2; the mean of two pairs: a quarter of the sum
    assert START_SPREAD_RATIO == 0.03
    half = Z * math.sqrt(4 * (0.02**2 + 0.03**2) / 4)
    assert effect.ratio_ci == pytest.approx((3 * math.exp(-half), 3 * math.exp(half)), rel=1e-9)


@pytest.mark.parametrize(
    ("ratio", "sd", "verdict"),
    [
        # With two pairs and sd 0.001 the interval is -5.7 to +6.1%.
        # its whole interval is above 1
        (1.5, 0.001, "matters"),
        (1.07, 0.001, "matters"),
        # or below
        (0.7, 0.001, "matters"),
        # within 10% of 1, either way
        (1.0, 0.001, "no-effect"),
        (1.03, 0.001, "no-effect"),
        (0.97, 0.001, "no-effect"),
        # reaching beyond 10%, but not excluding 1
        (1.05, 0.001, "unclear"),
        (0.945, 0.001, "unclear"),
        # too noisy to say that there is none: -10.9 to +12.2%
        (1.0, 0.05, "unclear"),
    ],
)
def test_the_verdict_is_read_from_the_interval_alone(ratio, sd, verdict):
    rows = two_by_two(100, 100, 100 * ratio, 100 * ratio, sd=sd)
    effect = next(e for e in effects_of(rows) if e.variable == "A")
    assert effect.ratio == pytest.approx(ratio, rel=1e-12)
    assert effect.verdict == verdict


def test_a_row_without_an_interval_leaves_the_effect_unclear():
    effects = effects_of(two_by_two(100, 110, 300, 330, sd=None))
    assert [(e.variable, round(e.ratio, 9), e.ratio_ci, e.verdict) for e in effects] == [
        ("A", 3.0, None, "unclear"),
        ("B", 1.1, None, "unclear"),
    ]


def test_a_lower_bound_leaves_the_effect_unclear():
    rows = two_by_two(100, 110, 300, 330)
    rows[0] = replace(rows[0], max_invocations_per_min_ci=(95.0, None))
    assert {effect.verdict for effect in effects_of(rows)} == {"unclear"}


def test_the_largest_effect_comes_first_whichever_its_direction():
    # A: 0.25. B: 1.5.
    effects = effects_of(two_by_two(400, 600, 100, 150))
    assert [(e.variable, round(e.ratio, 9)) for e in effects] == [("A", 0.25), ("B", 1.5)]


def test_each_two_values_are_compared_the_smaller_number_as_baseline():
    rows = [row({"T": value}, m) for value, m in (("16", 400), ("2", 100), ("8", 200))]
    assert [(e.baseline, e.value, round(e.ratio, 9)) for e in effects_of(rows)] == [
        ("2", "16", 4.0),
        ("2", "8", 2.0),
        ("8", "16", 2.0),
    ]


def test_only_rows_that_are_alike_in_all_else_are_compared():
    rows = [
        row({"A": "0"}, 100),
        # another type, another basis, another variable
        row({"A": "1"}, 200, instance_type="local.2cpu"),
        row({"A": "1"}, 300, basis="open"),
        row({"A": "1", "B": "x"}, 400),
    ]
    assert effects_of(rows) == []
    (effect,) = effects_of([*rows, row({"A": "1"}, 500)])
    assert isinstance(effect, Effect)
    assert (effect.variable, effect.pairs, round(effect.ratio, 9)) == ("A", 1, 5.0)


def test_a_candidate_missing_from_the_factorial_costs_its_pair():
    # 11 failed: A is judged at B=0 alone, B at A=0 alone
    effects = effects_of(two_by_two(100, 110, 300, 330)[:3])
    assert [(e.variable, e.pairs, round(e.ratio, 9)) for e in effects] == [
        ("A", 1, 3.0),
        ("B", 1, 1.1),
    ]


def test_a_variable_of_one_value_has_no_effect_to_report():
    assert effects_of([row({"A": "1"}, 100)]) == []
    assert effects_of([]) == []


def test_a_variable_that_helps_here_and_harms_there_matters_and_its_dependence_is_told():
    # A doubles at B=0 and halves at B=1: on average it does nothing.
    rows = two_by_two(100, 200, 200, 100)
    effect = next(e for e in effects_of(rows) if e.variable == "A")
    assert effect.ratio == pytest.approx(1.0)
    assert effect.verdict == "matters"
    [found] = interactions_of(rows)
    assert (found.ratio_at_baseline, found.ratio_at_value) == pytest.approx((2.0, 0.5))
    assert found.ratio == pytest.approx(0.25)
    assert (found.cells, found.verdict) == (1, "matters")


def test_an_interactions_interval_adds_the_errors_of_all_four_rows():
    [found] = interactions_of(two_by_two(100, 110, 300, 330, sd=0.02))
    half = NormalDist().inv_cdf(0.975) * math.sqrt(4 * (0.02**2 + 0.03**2))
    assert found.ratio_ci == pytest.approx((math.exp(-half), math.exp(half)), rel=1e-9)
    assert found.verdict == "unclear"


def test_known_rows_with_no_dependence_are_called_so():
    rows = [replace(r, starts=4) for r in two_by_two(100, 110, 300, 330)]
    assert [x.verdict for x in interactions_of(rows)] == ["no-effect"]


def test_intervals_widen_with_the_number_of_interactions_looked_at():
    rows = [
        row({"A": a, "B": b, "C": c}, 100.0) for a in ("0", "1") for b in ("0", "1") for c in "01"
    ]
    found = interactions_of(rows)
    assert [(x.variable, x.other, x.cells) for x in found] == [
        ("A", "B", 2),
        ("A", "C", 2),
        ("B", "C", 2),
    ]
    half = NormalDist().inv_cdf(1 - 0.025 / 3) * math.sqrt(8 * (0.01**2 + 0.03**2)) / 2
    assert found[0].ratio_ci == pytest.approx((math.exp(-half), math.exp(half)), rel=1e-9)


def test_without_a_complete_four_nothing_is_said_of_a_dependence():
    assert interactions_of(two_by_two(100, 110, 300, 330)[:3]) == []
    assert [x.verdict for x in interactions_of(two_by_two(1, 2, 3, 4, sd=None))] == ["unclear"]


def test_a_row_of_too_few_finals_still_has_the_spread_between_starts_to_answer_for():
    def width(starts: int) -> float:
        rows = [replace(r, starts=starts) for r in two_by_two(100, 100, 100, 100)]
        low, high = effects_of(rows)[0].ratio_ci
        return high / low

    assert width(1) == width(3) > width(4)


def test_a_dropped_candidate_weighs_less_for_it_was_dropped_for_looking_bad():
    rows = two_by_two(100, 100, 100, 100)
    dropped = [replace(r, doubts=(doubts.dropped(0.01, 1),)) for r in rows]
    half, wider = (math.log(effects_of(x)[0].ratio_ci[1]) for x in (rows, dropped))
    assert wider == pytest.approx(half * math.sqrt(2), rel=1e-9)


def batching(off: dict[str, float], on: dict[tuple[str, str], float]) -> list[Recommendation]:
    """Maxima without batching by A, and with it by A and the time that a batch waits."""
    rows = [row({"A": a, "BATCH": "false"}, m) for a, m in off.items()]
    return rows + [row({"A": a, "BATCH": "true", "WAIT": w}, m) for (a, w), m in on.items()]


def test_a_variable_that_others_come_with_is_compared_with_each_of_their_settings():
    rows = batching({"0": 100}, {("0", "1"): 200, ("0", "5"): 800})
    effect = next(e for e in effects_of(rows) if e.variable == "BATCH")
    # doubled and eightfold: fourfold
    assert (effect.baseline, effect.value, effect.pairs) == ("false", "true", 2)
    assert effect.ratio == pytest.approx(4.0, rel=1e-12)
    assert effect.averaged_over == ("WAIT",)
    # the row without batching stands in both pairs, with one error: (2^2 + 1 + 1) / 2^2 of a row's
    half = Z * math.sqrt(1.5 * (0.01**2 + 0.03**2))
    assert effect.ratio_ci == pytest.approx((4 * math.exp(-half), 4 * math.exp(half)), rel=1e-9)


def test_what_comes_with_a_value_is_left_out_of_the_rest_and_nothing_else_is():
    # At A=1 nothing without batching was measured.
    rows = batching({"0": 100}, {("0", "1"): 300, ("1", "1"): 900})
    found = {e.variable: (e.pairs, round(e.ratio, 9), e.averaged_over) for e in effects_of(rows)}
    assert found == {"BATCH": (1, 3.0, ("WAIT",)), "A": (1, 3.0, ())}


@pytest.mark.parametrize("other", [{"A": "0", "B": "y"}, {"A": "1"}])
def test_a_variable_that_is_set_or_not_at_one_value_does_not_come_with_it(other):
    rows = [row({"A": "0"}, 100), row({"A": "1", "B": "x"}, 200)]
    assert [e.averaged_over for e in effects_of(rows)] == [("B",)]
    # elsewhere B was set at A=0 too, or not at A=1
    assert effects_of([*rows, row(other, 400, instance_type="local.2cpu")]) == []


def test_two_values_may_each_come_with_variables_of_their_own():
    rows = [row({"E": "torch", "THREADS": t}, m) for t, m in (("1", 100), ("2", 400))]
    rows += [row({"E": "onnx", "POOL": "8"}, 100)]
    effect = next(e for e in effects_of(rows) if e.variable == "E")
    assert (effect.baseline, effect.pairs, effect.ratio) == ("onnx", 2, pytest.approx(2.0))
    assert effect.averaged_over == ("POOL", "THREADS")


def test_a_variable_whose_own_settings_differ_matters_also_where_it_does_nothing_on_average():
    rows = batching({"0": 200}, {("0", "1"): 100, ("0", "5"): 400})
    assert {e.variable: (round(e.ratio, 9), e.verdict) for e in effects_of(rows)} == {
        "WAIT": (4.0, "matters"),
        "BATCH": (1.0, "matters"),
    }


def test_a_dependence_on_a_variable_that_others_come_with_is_seen_at_each_of_their_settings():
    on = {("0", "1"): 100, ("0", "5"): 100, ("1", "1"): 100, ("1", "5"): 400}
    found = interactions_of(batching({"0": 100, "1": 100}, on))
    first = next(x for x in found if (x.variable, x.other) == ("A", "BATCH"))
    # A does nothing without batching; with it, nothing and fourfold
    assert (first.cells, first.ratio_at_baseline, first.ratio_at_value) == (
        2,
        1.0,
        pytest.approx(2.0),
    )
    assert first.ratio == pytest.approx(2.0)
    z = NormalDist().inv_cdf(1 - 0.025 / len(found))
    half = z * math.sqrt((2 * 2**2 + 4) * (0.01**2 + 0.03**2)) / 2
    assert first.ratio_ci == pytest.approx((2 * math.exp(-half), 2 * math.exp(half)), rel=1e-9)


def test_a_variable_without_an_effect_says_why():
    rows = [row({"A": "0", "B": "8", "C": "1"}, 100), row({"A": "1", "B": "8", "C": "2"}, 200)]
    rejected = [{"A": "0", "B": "32", "C": "1"}, {"A": "0", "B": "128", "C": "1"}]
    alone = "no measured pair differs in it alone"
    assert unknown_effects(effects_of(rows), rows, rejected) == [
        UnknownEffect("A", ("0", "1"), alone),
        UnknownEffect("B", ("8", "32", "128"), f"{alone} (no maximum was found at 32, 128)"),
        UnknownEffect("C", ("1", "2"), alone),
    ]


def test_a_variable_with_an_effect_or_of_one_value_has_nothing_to_explain():
    rows = [row({"A": "0", "B": "1"}, 100), row({"A": "1", "B": "1"}, 200)]
    assert unknown_effects(effects_of(rows), rows, [{"A": "2", "B": "1"}]) == []


def test_where_nothing_has_a_maximum_no_variable_is_explained():
    assert unknown_effects([], [], [{"A": "0"}, {"A": "1"}]) == []
