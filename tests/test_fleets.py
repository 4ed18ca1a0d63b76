"""Fleets and money, against published rows and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rightsizer.fleets import Price, cost_per_inference_usd, fleet_of, instance_count
from rightsizer.spec import TargetSpec

GOLDEN = json.loads((Path(__file__).parent / "golden" / "cost-rows.json").read_text())["rows"]


def target(per_min: float, **more: float) -> TargetSpec:
    return TargetSpec.model_validate({"invocations_per_min": per_min, **more})


@pytest.mark.parametrize("row", GOLDEN, ids=lambda r: f"{r['instance_type']}-{r['environment']}")
def test_published_costs_per_inference_come_out_to_the_printed_digits(row):
    cost = cost_per_inference_usd(row["cost_per_hour_usd"], row["max_invocations_per_min"])
    # printed with four digits: 2.794e-05
    assert float(f"{cost:.3e}") == row["cost_per_inference_usd"]


@pytest.mark.parametrize(
    ("one_max", "goal", "count"),
    [
        # no target: one
        (175, None, 1),
        # 300 / 175 = 1.7
        (175, target(300), 2),
        # 300 / 111 = 2.7
        (111, target(300), 3),
        # exactly three carry it, whatever the division rounds to
        (100, target(300), 3),
        (100, target(210, max_utilisation_ratio=0.7), 3),
        # 63.7 / (13 * 0.7) is 7.000000000000001
        (13, target(63.7, max_utilisation_ratio=0.7), 7),
        # one is enough
        (1000, target(300), 1),
        # but no fewer than min_instances
        (1000, target(300, min_instances=2), 2),
        (100, target(300, min_instances=2), 3),
        # headroom: 300 / (100 * 0.7) = 4.3
        (100, target(300, max_utilisation_ratio=0.7), 5),
        # spare instances come on top, also of the minimum
        (100, target(300, spare_instances=1), 4),
        (1000, target(300, min_instances=2, spare_instances=1), 3),
    ],
)
def test_the_instance_count_is_the_smallest_fleet_that_carries_the_target(one_max, goal, count):
    assert instance_count(one_max, goal) == count


def test_a_fleets_figures_are_those_of_all_its_instances():
    fleet = fleet_of(100.0, (90.0, None), Price(0.5, "yours"), target(300, spare_instances=1))
    assert fleet.instance_count == 4
    # 300 / 70 = 4.3, and one spare
    assert fleet.instance_count_at_70_percent == 6
    assert fleet.max_invocations_per_min == 400.0
    # the interval too, its open end staying open
    assert fleet.max_invocations_per_min_ci == (360.0, None)
    assert fleet.cost_per_hour_usd == 2.0
    # 730 hours
    assert fleet.cost_per_month_usd == 1460.0
    # 2 USD an hour for 18000 invocations
    assert fleet.cost_per_inference_at_target_usd == pytest.approx(2 / 18_000, rel=1e-12)
    assert fleet.utilisation_at_target_ratio == 0.75


def test_without_a_target_the_fleet_is_one_instance_at_full_load():
    fleet = fleet_of(100.0, None, Price(0.5, "yours"), None)
    assert (fleet.instance_count, fleet.instance_count_at_70_percent) == (1, None)
    assert (fleet.cost_per_hour_usd, fleet.cost_per_month_usd) == (0.5, 365.0)
    assert fleet.cost_per_inference_at_target_usd is None
    assert fleet.utilisation_at_target_ratio is None


def test_without_a_price_a_fleet_has_a_size_and_no_costs():
    fleet = fleet_of(100.0, None, Price(None, ""), target(300))
    assert (fleet.instance_count, fleet.utilisation_at_target_ratio) == (3, 1.0)
    assert fleet.cost_per_hour_usd is None
    assert fleet.cost_per_month_usd is None
    assert fleet.cost_per_inference_at_target_usd is None


def test_a_fleets_interval_is_that_many_times_one_instances():
    two = target(1500)
    fleet = fleet_of(834.0, (801.0, 868.0), Price(None, ""), two)
    assert (fleet.instance_count, fleet.max_invocations_per_min_ci) == (2, (1602.0, 1736.0))
    assert fleet_of(834.0, (801.0, None), Price(None, ""), two).max_invocations_per_min_ci == (
        1602.0,
        None,
    )
    assert fleet_of(834.0, None, Price(None, ""), two).max_invocations_per_min_ci is None
