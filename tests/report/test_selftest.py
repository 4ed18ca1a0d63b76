"""A self-test as text and as a document."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from rightsizer.calibration.claims import claims
from rightsizer.calibration.judging import judged
from rightsizer.events import CheckEnded, ChecksStarted, SelftestStarted
from rightsizer.machines import Placement
from rightsizer.report.selftest_text import selftest_line, selftest_text
from rightsizer.selftesting.outcome import SelfTest

from tests.calibration.made import caching, ceiling, floor, noise, repeat, stall, truth

MISSED = truth(found_per_s=84.0, found_per_s_ci=(75.0, 95.0))


def made(*figures, stopped: bool = False) -> SelfTest:
    checks = tuple(judged(x) for x in figures)
    return SelfTest(
        processor="AMD EPYC",
        placement=Placement((1,), (0,), "native", 1 << 30),
        quick=False,
        stopped=stopped,
        checks=checks,
        claims=claims(checks, co_located=False),
        samples="/store/selftests/x",
        wall_s=98.0,
    )


@pytest.fixture
def good() -> SelfTest:
    return made(ceiling(), floor(), truth(), stall(), caching(), repeat(), noise())


def test_a_good_machine_as_text(good):
    lines = selftest_text(good, None).splitlines()
    assert lines[0] == "AMD EPYC: generator on CPU 0, servers on CPU 1"
    assert lines[2].split() == ["Check", "Of", "Judgement", "Found"]
    assert lines[3].startswith("ceiling  200 B")
    assert "This machine's numbers can be trusted for:" in lines
    assert not any("cannot" in line for line in lines)
    assert lines[-1] == "Done after 1 min 38 s: 7 pass, 0 weak, 0 fail."


def test_columns_stand_below_each_other(good):
    rows = selftest_text(good, None).splitlines()[2:10]
    at = rows[0].index("Judgement")
    assert {row[at : at + 4] for row in rows[1:]} == {"pass"}


def test_on_a_terminal_long_sentences_are_folded_to_its_width(good):
    assert max(map(len, selftest_text(good, 80).splitlines())) <= 80


def test_what_cannot_be_trusted_stands_apart():
    text = selftest_text(made(ceiling(), MISSED), None)
    apart = text.partition("This machine's numbers cannot be trusted for:")[2]
    assert "maxima: no maximum: one that is known was missed" in apart
    assert text.endswith("Rely on no number of this machine that a failed check is about.")


def test_a_noisy_machine_is_to_be_tried_again_when_quiet():
    text = selftest_text(made(ceiling(), noise(run_delay_ratio=0.4)), None)
    assert text.endswith(
        "1 weak, 0 fail. Others were at work on this machine: repeat it when that is quiet."
    )


def test_one_that_was_stopped_at_once_says_so_and_no_more():
    said = selftest_text(made(stopped=True), None).splitlines()
    assert said[-1] == "Stopped after 1 min 38 s: 0 pass, 0 weak, 0 fail."
    assert len(said) == 3


def test_the_document_holds_all_figures_and_what_follows_from_them(good):
    document = json.loads(json.dumps(good.document(), allow_nan=False))
    assert document["schema"] == "rightsizer/selftest/1"
    assert (document["judgement"], document["stopped"]) == ("pass", False)
    assert (document["generator_cpus"], document["server_cpus"]) == ([0], [1])
    found = {check["name"]: check for check in document["checks"]}
    assert found["truth"]["figures"]["error_ratio"] == pytest.approx(2 / 140)
    assert found["truth"]["figures"]["covered"] is True
    assert found["truth"]["figures"]["found_per_s_ci"] == [125.0, 155.0]
    assert found["stall"]["figures"]["off_ratio"] == pytest.approx(0.5 / 430.5)
    assert found["repeat"]["figures"]["overlap"] is True
    assert {claim["about"] for claim in document["claims"]} >= {"rates", "maxima"}


def test_a_failed_check_decides_and_a_weak_one_does_not(good):
    assert (good.judgement, good.exit_code) == ("pass", 0)
    weak = replace(good, checks=(judged(floor(slip_p99_ms=9.0)), *good.checks))
    assert (weak.judgement, weak.exit_code) == ("weak", 0)
    failed = replace(weak, checks=(*weak.checks, judged(MISSED)))
    assert (failed.judgement, failed.exit_code) == ("fail", 6)


def test_progress_is_a_line_for_each_event():
    assert selftest_line(SelftestStarted("/x", 7, 95.0)) == (
        "self-test: 7 groups of checks, about 1 min 35 s"
    )
    assert selftest_line(ChecksStarted(3, 7, "truth: fixed", 19.2)) == (
        "3/7  truth: fixed, about 19 s"
    )
    assert selftest_line(CheckEnded(judged(floor()))) == "     pass  floor, 200/s of 200 B"
    said = selftest_line(CheckEnded(judged(floor(slip_p99_ms=9.0))))
    assert said.startswith("     weak  floor, 200/s of 200 B: adds P50 0.3 ms")
