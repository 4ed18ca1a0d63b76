"""What a machine's numbers can be trusted for, from its checks."""

from __future__ import annotations

from rightsizer.calibration.claims import claims
from rightsizer.calibration.judging import judged, not_run

from .made import caching, ceiling, floor, repeat, stall, truth


def said(*figures, co_located=False) -> dict[str, tuple[bool, str]]:
    found = claims([judged(x) for x in figures], co_located=co_located)
    return {claim.about: (claim.holds, claim.text) for claim in found}


def test_nothing_is_claimed_of_what_was_not_looked_at():
    assert claims([], co_located=False) == ()
    assert set(said(stall())) == {"pauses"}


def test_rates_are_the_fastest_that_were_driven_with_time_left():
    found = said(
        ceiling(),
        floor(),
        floor(rate_per_s=6000.0, generator_cpu_ratio=0.57),
        floor(rate_per_s=7000.0, generator_cpu_ratio=0.66),
        floor(rate_per_s=9000.0, generator_cpu_ratio=0.75),
        floor(body_bytes=250_000, rate_per_s=3000.0, generator_cpu_ratio=0.5),
    )
    holds, text = found["rates"]
    assert holds
    assert text.startswith("open traffic up to 7,000/s of 200 B and 3,000/s of 250 kB from one")


def test_latencies_are_those_of_which_a_twentieth_is_the_instruments():
    slow, fast = floor(), floor(rate_per_s=7000.0, p50_ms=0.25, p99_ms=2.0)
    assert said(slow, fast)["latencies"] == (
        True,
        "at 200/s medians above 6.00 ms and P99s above 24.0 ms, at 7,000/s medians above 5.00 ms "
        "and P99s above 40.0 ms; below, more than 5 % is the instrument's own",
    )
    assert said(slow)["latencies"][1].startswith("at 200/s medians above 6.00 ms and P99s above")


def test_a_generator_that_leaves_late_or_fails_carries_nothing():
    found = said(floor(slip_p99_ms=80.0), floor(failed=1))
    assert found["rates"] == (False, "no rate: a server that does nothing could not be driven")
    assert found["latencies"][0] is False


def test_a_generator_without_a_cpu_to_itself_carries_no_rate_but_its_latencies_are_told():
    found = said(floor(run_delay_ratio=0.28), floor(generator_cpu_ratio=0.9))
    assert found["rates"] == (False, "no rate: the generator had no CPU to itself")
    assert found["latencies"][0]


def test_maxima_are_as_good_as_the_worse_of_error_and_interval():
    sure = truth(found_per_s=140.0, found_per_s_ci=(126.0, 150.0))
    assert said(sure, truth())["maxima"] == (
        True,
        "within about 12 % after 18 s of traffic, closer after more: known ones were missed by "
        "1 % at most",
    )


def test_an_interval_that_missed_is_told():
    missed = truth(found_per_s=125.0, found_per_s_ci=(120.0, 130.0))
    holds, text = said(truth(), missed)["maxima"]
    assert holds
    assert text.endswith("missed by 11 % at most, 1 of 2 by more than their interval allows")


def test_a_maximum_missed_by_far_or_never_found_is_plainly_said():
    missed = truth(found_per_s=84.0, found_per_s_ci=(75.0, 95.0))
    assert said(truth(), missed)["maxima"] == (False, "no maximum: one that is known was missed")
    none = truth(verdict="invalid", found_per_s=None, found_per_s_ci=None, why_not="noise")
    found = said(none)["maxima"]
    assert found == (False, "no maximum: none was found here in so short a time")


def test_differences_pauses_and_payloads():
    found = said(repeat(), stall(), caching())
    assert found["differences"] == (
        True,
        "two short runs of one load lay 9 % apart in P95: take no such difference for an effect",
    )
    assert found["pauses"][0]
    assert found["payloads"][0]
    bad = said(stall(p95_ms=15.0), caching(cached_many_p50_ms=0.5))
    assert bad["pauses"] == (
        False,
        "percentiles of a server that pauses: they differ from its own record",
    )
    assert bad["payloads"][0] is False


def test_a_machine_of_one_core_says_that_all_is_co_located():
    holds, text = said(ceiling(), co_located=True)["placement"]
    assert not holds
    assert "co-located" in text


def test_a_check_that_could_not_be_run_carries_nothing():
    failed = [not_run(name, "x", "no memory") for name in ("floor", "truth", "stall", "repeat")]
    found = claims(failed, co_located=False)
    assert [claim.about for claim in found] == [
        "rates",
        "latencies",
        "maxima",
        "differences",
        "pauses",
    ]
    assert not any(claim.holds for claim in found)
