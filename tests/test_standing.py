"""Who stands first, where the lowest cost on average and the likeliest good cost are not one's."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from rightsizer.analysis import doubts
from rightsizer.entrants import unknowns_of
from rightsizer.fleets import Price
from rightsizer.recommendation import recommend
from rightsizer.spec import LimitSpec, TargetSpec
from rightsizer.standing import Standing, standing_of
from rightsizer.trials import TrialRecord

from .report.jobs import measured, step

TARGET = TargetSpec(invocations_per_min=6000.0)
USD = {"local.1cpu": 1.0, "large": 2.1}


def scouted(number: int, per_min: float, half: float, kind: str = "local.1cpu") -> TrialRecord:
    """Of a maximum known to a factor of exp(half), as candidate `c<number>`."""
    ci = per_min * math.exp(-half), per_min * math.exp(half)
    environment = {"N": str(number)}
    return measured(number, environment, per_min, instance_type=kind, max_invocations_per_min_ci=ci)


def standing(trials: list[TrialRecord], target: TargetSpec | None) -> Standing:
    found = standing_of(trials, USD.__getitem__, LimitSpec(), target)
    assert found is not None
    return found


def test_with_a_target_the_likeliest_to_be_good_is_the_best_though_it_may_cost_much_more():
    # Two small ones carry the target, or, somewhat less probably, three; one large one does surely.
    found = standing([scouted(1, 3000.0, 0.1), scouted(2, 9000.0, 0.05, "large")], TARGET)
    count, chance = found.likely_count("c1")
    assert count == 2
    assert chance * math.log(2) + (1 - chance) * math.log(3) > math.log(USD["large"]) + 0.05
    assert found.best == "c1"
    assert found.p_good == pytest.approx({"c1": 0.62, "c2": 0.38}, abs=0.05)


def test_without_a_target_the_lowest_cost_on_average_is_the_best():
    # Of many that are hardly known one or another is good; which one, nobody can say.
    vague = [scouted(number, 600.0, 0.2) for number in range(2, 8)]
    far = [scouted(number, 6000.0 / number, 0.02) for number in (30, 40, 50)]
    found = standing([scouted(1, 606.0, 0.02), *vague, *far], None)
    assert found.best == "c1" == max(found.mean_log_maximum, key=found.mean_log_maximum.__getitem__)
    assert found.p_good["c1"] < min(found.p_good[trial.candidate.id] for trial in vague) - 0.03


def test_an_estimate_that_looks_cheaper_than_the_best_does_not_undercut_it():
    """The race knew both; what nobody knows is the maximum behind a lower bound."""
    trials = [scouted(1, 2990.0, 0.1), scouted(2, 9000.0, 0.05, "large")]
    prices = {name: Price(usd, "yours") for name, usd in USD.items()}
    raced = standing(trials, TARGET)
    best, other = recommend(trials, prices.__getitem__, TARGET, raced)[0]
    assert (best.candidate_id, other.candidate_id) == ("c1", "c2")
    assert (best.fleet.cost_per_hour_usd, other.fleet.cost_per_hour_usd) == (3.0, 2.1)
    assert "undercut" not in {doubt.code for doubt in best.doubts}

    bound = measured(3, {"N": "3"}, 6500.0, max_kind="at_least")
    best, *_ = recommend([*trials, bound], prices.__getitem__, TARGET, raced)[0]
    [doubt] = [doubt for doubt in best.doubts if doubt.code == "undercut"]
    assert doubt.message.startswith("row 3 (local.1cpu N=3)")


def test_where_a_lower_bound_is_cheaper_nobody_is_told_how_probably_they_are_the_best():
    trials = [scouted(1, 600.0, 0.05), scouted(2, 300.0, 0.05)]
    prices = {"local.1cpu": Price(1.0, "yours")}
    raced = standing(trials, None)
    assert recommend(trials, prices.__getitem__, None, raced)[0][0].p_best > 0.8
    bound = measured(3, {"N": "3"}, 2000.0, max_kind="at_least")
    rows = recommend([*trials, bound], prices.__getitem__, None, raced)[0]
    assert [row.p_best for row in rows] == [None, None, None]


def too_short(number: int, per_min: float) -> TrialRecord:
    """Its closed steps promise that much; its open ones told no maximum."""
    unloaded_ms = 60_000 / per_min
    probe = replace(step(1, per_min / 60, unloaded_ms), unloaded_ms=(unloaded_ms,) * 40)
    made = measured(
        number,
        {"N": str(number)},
        per_min,
        max_invocations_per_min=None,
        max_kind=None,
        doubts=(doubts.budget_too_short(240.0),),
    )
    return replace(made, steps=(probe,))


LIMIT = LimitSpec(percentile="P95", latency_ms=1e6)


def test_who_told_no_maximum_may_be_the_best_and_the_first_row_says_so():
    trials = [scouted(1, 600.0, 0.05), scouted(2, 300.0, 0.05), too_short(3, 600.0)]
    found = standing_of(trials, USD.__getitem__, LIMIT, None)
    [p] = found.p_unknown
    assert 0.3 < p < 0.6
    assert sum(found.p_best.values()) == pytest.approx(1 - p)

    prices = {"local.1cpu": Price(1.0, "yours")}
    rows, rejected = recommend(trials, prices.__getitem__, None, found)
    assert [row.candidate_id for row in rows] == ["c1", "c2"]
    assert [row.reason for row in rejected] == ["budget-too-short"]
    [doubt] = [doubt for doubt in rows[0].doubts if doubt.code == "race-without"]
    who = "the race was without local.1cpu N=3, as no maximum is known: it is the best with"
    assert doubt.message.startswith(who)
    alone = "search it in a job of its own: allow about 4 min 00 s of open traffic (budget_s)"
    assert doubt.next_step == alone
    assert "race-without" not in {doubt.code for doubt in rows[1].doubts}


def test_who_told_no_maximum_and_is_far_behind_raises_no_doubt():
    trials = [scouted(1, 600.0, 0.05), scouted(2, 300.0, 0.05), too_short(3, 100.0)]
    found = standing_of(trials, USD.__getitem__, LIMIT, None)
    [p] = found.p_unknown
    assert 0.0 <= p < 0.05
    prices = {"local.1cpu": Price(1.0, "yours")}
    rows, _ = recommend(trials, prices.__getitem__, None, found)
    assert "race-without" not in {doubt.code for doubt in rows[0].doubts}


def test_of_several_without_a_maximum_the_likeliest_is_named():
    trials = [scouted(1, 600.0, 0.05), too_short(2, 400.0), too_short(3, 700.0)]
    found = standing_of(trials, USD.__getitem__, LIMIT, None)
    less, more = found.p_unknown
    assert less < more
    rows, _ = recommend(trials, {"local.1cpu": Price(1.0, "yours")}.__getitem__, None, found)
    [doubt] = [doubt for doubt in rows[0].doubts if doubt.code == "race-without"]
    assert "without local.1cpu N=3 and 1 other, as no maximum is known: one of" in doubt.message
    assert doubt.figures["p"] == pytest.approx(less + more)


def test_the_only_one_with_a_maximum_is_not_the_best_for_that():
    found = standing_of(
        [scouted(1, 600.0, 0.05), too_short(2, 900.0)], USD.__getitem__, LIMIT, None
    )
    assert found.p_best["c1"] < 0.4


def test_where_no_entrant_has_a_price_nobodys_counts():
    trials = [scouted(1, 600.0, 0.05), scouted(2, 300.0, 0.05), too_short(3, 100.0)]
    cheap = replace(trials[2], candidate=replace(trials[2].candidate, instance_type="priced"))
    prices = {"local.1cpu": None, "priced": 0.02}
    [p] = standing_of([*trials[:2], cheap], prices.__getitem__, LIMIT, None).p_unknown
    assert p < 0.05


def test_a_search_that_was_too_short_is_believed_as_far_as_its_open_steps_went():
    short = too_short(2, 900.0)
    over = replace(
        step(1, 8.0, 900.0),
        mode="open",
        users=None,
        rate_per_s=8.0,
        n=200,
        over_limit_ratio=0.9,
        design_effect=2.0,
    )
    limit = LimitSpec(percentile="P95", latency_ms=400.0)
    before, after = (
        unknowns_of([replace(short, steps=steps)], limit)
        for steps in (short.steps, (*short.steps, over))
    )
    assert after[0].log_maximum < before[0].log_maximum - 0.1
    few = replace(over, n=3, over_limit_ratio=0.0)
    [unsure] = unknowns_of([replace(short, steps=(*short.steps, few))], limit)
    assert unsure.sd > before[0].sd + 0.03
