"""Which verdict a trial's end, steps and doubts come to, and which doubts explain it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rightsizer.analysis import doubts
from rightsizer.analysis.figures import Doubt, Requests, StepFigures
from rightsizer.errors import Reason, TrialState
from rightsizer.spec import LimitSpec
from rightsizer.trials import TrialRecord
from rightsizer.verdicts import measurement_doubts, verdict_of, why_all_invalid

from .report.jobs import measured, step

LIMIT = LimitSpec(percentile="P95", latency_ms=250.0)
SUCCEEDED = Requests(attempted=100, succeeded=100)
LIMITED = replace(step(8, 90.0, 100.0, "invalid"), doubts=doubts.generator_doubts(0.97))
UNSTEADY = replace(
    step(8, 90.0, 100.0, "invalid"), doubts=(Doubt("no-steady-state", "blocks", "it drifts"),)
)
OVER = step(2, 5.0, 400.0, "over-latency")
WITHIN = step(1, 5.0, 100.0)


def record(
    *steps: StepFigures, maximum: float | None = 600.0, found: tuple[Doubt, ...] = (), **changes
) -> TrialRecord:
    """A trial of an endpoint; without a maximum none of its figures is at one."""
    made = measured(1, {}, 600.0, doubts=found)
    assert made.figures is not None
    figures = replace(made.figures, max_invocations_per_min=maximum, limit_detail="too slow")
    given = {"steps": steps or (WITHIN, OVER), "figures": figures, "requests": SUCCEEDED}
    return replace(made, **{**given, **changes})


def failed(reason: Reason, detail: str = "it was", **changes) -> TrialRecord:
    state = {Reason.GENERATOR_LOST: TrialState.INVALID, Reason.HOST_LOST: TrialState.INTERRUPTED}
    return record(
        state=state.get(reason, TrialState.FAILED), reason=reason, detail=detail, **changes
    )


NOTHING = {"figures": None, "steps": (), "requests": Requests()}


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (record(), "valid"),
        (record(state=TrialState.STOPPED, reason=Reason.BY_USER), "valid"),
        (record(found=(doubts.loopback(), doubts.at_least(False))), "valid"),
        (record(OVER, maximum=None), "limit-unmet"),
        (record(found=(doubts.below_floor(300.0, 250.0),), maximum=None), "limit-unmet"),
        # a level that holds, and yet no maximum: the search could not claim one
        (record(maximum=None), "invalid"),
        (record(LIMITED, maximum=None), "generator-limited"),
        (record(UNSTEADY, maximum=None), "no-steady-state"),
        (record(found=(doubts.content_refused(1, 9),)), "invalid"),
        # judged steps stand beside an invalid one
        (record(WITHIN, LIMITED), "valid"),
        (record(step(1, 5.0, 9.0, "invalid"), maximum=None), "invalid"),
        (record(OVER, maximum=None, requests=Requests(attempted=9, failed=9)), "invalid"),
        (failed(Reason.PROBE_REFUSED, **NOTHING), "invalid"),
        (failed(Reason.HUNG), "invalid"),
        (failed(Reason.GENERATOR_LOST), "invalid"),
        (failed(Reason.HOST_LOST), "invalid"),
        # errors at every level are a limit that was not met; errors after good steps are a break
        (failed(Reason.ERRORS, maximum=None, steps=(OVER,)), "limit-unmet"),
        (failed(Reason.ERRORS), "invalid"),
    ],
)
def test_the_verdict_follows_from_the_trials_end_and_its_steps(made, verdict):
    assert verdict_of(made, has_maximum=True) == verdict


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("generator-starved", "generator-limited"),
        ("schedule-slip", "generator-limited"),
        ("off-schedule", "generator-limited"),
        ("event-loop-lag", "generator-limited"),
        ("generator-throttled", "generator-limited"),
        ("generator-dropped", "generator-limited"),
        ("server-away", "invalid"),
        ("clock-gap", "invalid"),
        ("noisy-host", "invalid"),
        ("worker-lost", "invalid"),
    ],
)
def test_whose_fault_an_invalid_step_is_decides_the_verdict(code, verdict):
    made = record(replace(LIMITED, doubts=(Doubt(code, "blocks", "it did"),)), maximum=None)
    assert verdict_of(made, has_maximum=True) == verdict
    assert found_on(made)[0].code == code


def test_an_invalid_step_beside_one_that_holds_explains_why_there_is_no_maximum():
    made = record(WITHIN, LIMITED, maximum=None)
    assert verdict_of(made, has_maximum=True) == "generator-limited"


def test_a_maximum_that_rests_on_unsteady_steps_is_none_and_says_so_first():
    rests = Doubt("no-steady-state", "blocks", "at 40/s the server was slow")
    few = Doubt("too-few-samples", "weakens", "few")
    made = record(replace(WITHIN, doubts=(few,)), found=(rests,))
    assert verdict_of(made, has_maximum=True) == "no-steady-state"
    assert found_on(made)[0].message == "at 40/s the server was slow"


def test_a_rate_that_the_server_does_not_keep_up_with_has_no_steady_state():
    behind = Doubt("not-keeping-up", "weakens", "the server answered 80 %")
    made = record(replace(WITHIN, doubts=(behind,)))
    assert verdict_of(made, has_maximum=False) == "no-steady-state"
    first = found_on(made, has_maximum=False)[0]
    assert (first.code, first.severity) == ("not-keeping-up", "blocks")


def test_of_a_drift_at_one_load_no_number_stands_and_of_one_under_a_maximum_it_does():
    drift = Doubt("no-steady-state", "weakens", "it rose", f"{doubts.LONGER}, or look")
    made = record(replace(WITHIN, doubts=(drift,)))
    assert verdict_of(made, has_maximum=True) == "valid"
    assert verdict_of(made, has_maximum=False) == "no-steady-state"
    first = found_on(made, has_maximum=False)[0]
    assert (first.code, first.severity) == ("no-steady-state", "blocks")
    assert first.next_step == "give a longer --duration-s, or look"
    # over the limit the limit says more
    over = record(replace(OVER, doubts=(drift,)), maximum=None)
    assert verdict_of(over, has_maximum=False) == "limit-unmet"


def found_on(made: TrialRecord, *, has_maximum: bool = True, limit: LimitSpec = LIMIT):
    verdict = verdict_of(made, has_maximum=has_maximum)
    return measurement_doubts(made, verdict, limit, has_maximum=has_maximum)


@pytest.mark.parametrize(
    ("reason", "detail", "code", "advice"),
    [
        (Reason.NEVER_READY, "no connection within 5 s; last: refused", "unreachable", "address"),
        (Reason.NEVER_READY, "GET /ping; last: status 404", "probe-refused", "--protocol"),
        (Reason.PROBE_REFUSED, "status 302, a redirect to http://b/", "probe-refused", "points to"),
        (Reason.PROBE_REFUSED, "no connection ([SSL: BAD])", "probe-refused", "SSL_CERT_FILE"),
        (Reason.PROBE_REFUSED, "no connection ([SSL: WRONG_VERSION_NUMBER])", "probe-refused",
         "use http"),
        (Reason.PROBE_REFUSED, "the answer is not HTTP", "probe-refused", "port"),
        (Reason.PROBE_REFUSED, "[Errno 104] Connection reset by peer", "probe-refused", "port"),
        (Reason.PROBE_REFUSED, "no answer within 2 s", "probe-refused", "--timeout-s"),
        (Reason.PROBE_REFUSED, "status 404, nothing", "probe-refused", "whole address"),
        (Reason.PROBE_REFUSED, "status 400, what?", "probe-refused", "--content-type"),
        (Reason.HUNG, "nothing came", "hung", "stopped answering"),
        (Reason.GENERATOR_LOST, "signal SIGKILL", "generator-lost", "generator.log"),
    ],
)  # fmt: skip
def test_what_ended_it_is_the_first_doubt_with_what_to_do(reason, detail, code, advice):
    first = found_on(failed(reason, detail, **NOTHING))[0]
    assert (first.code, first.severity, first.message) == (code, "blocks", detail)
    assert advice in first.next_step


def at_floor(made: TrialRecord, unloaded_ms: float | None) -> TrialRecord:
    assert made.figures is not None
    return replace(made, figures=replace(made.figures, unloaded_latency_ms=unloaded_ms))


@pytest.mark.parametrize(("unloaded_ms", "floor_ms"), [(310.0, 300.0), (280.0, 280.0)])
def test_a_limit_below_the_floor_says_the_floor_and_the_smallest_sensible_limit(
    unloaded_ms, floor_ms
):
    slow = step(1, 5.0, 300.0, "over-latency")
    below = doubts.below_floor(unloaded_ms, 250.0)
    [doubt] = found_on(at_floor(record(slow, maximum=None, found=(below,)), unloaded_ms))
    assert doubt.code == "limit-below-floor"
    assert doubt.figures == {
        "unloaded_latency_ms": unloaded_ms,
        "floor_ms": floor_ms,
        "limit_ms": 250.0,
        "smallest_sensible_limit_ms": 1.5 * floor_ms,
    }
    assert "the smallest sensible limit is" in doubt.next_step


def test_a_slow_first_probe_alone_is_no_floor():
    made = record(
        step(1, 5.0, 240.0), OVER, maximum=None, found=(doubts.below_floor(900.0, 250.0),)
    )
    slow = step(8, 5.0, 255.0, "over-latency")
    made = at_floor(replace(made, steps=(slow,)), 100.0)
    assert [doubt.code for doubt in found_on(made)] == ["limit-unmet"]


def test_a_load_over_the_limit_says_which_and_leaves_room_for_less():
    [doubt] = found_on(record(OVER, maximum=None))
    assert (doubt.code, doubt.message) == ("limit-unmet", "too slow")
    assert "lower the load" in doubt.next_step
    assert doubt.figures == {"latency_ms": 400.0, "limit_ms": 250.0, "floor_ms": 118.2}


def test_errors_over_their_limit_are_named_without_figures_of_latency():
    wrong = step(2, 5.0, 100.0, "over-errors")
    made = failed(Reason.ERRORS, maximum=None, steps=(wrong,))
    assert [doubt.code for doubt in found_on(made)] == ["limit-unmet"]
    assert "what the server answers" in found_on(made)[0].next_step


@pytest.mark.parametrize(("limited", "code"), [(LIMITED, "generator-limited"),
                                               (UNSTEADY, "no-steady-state")])  # fmt: skip
def test_an_invalid_step_explains_the_verdict_first(limited, code):
    made = failed(Reason.GENERATOR_LIMITED, steps=(limited,), maximum=None)
    assert found_on(made)[0].code == code


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (["generator-starved"], Reason.GENERATOR_LIMITED),
        (["noisy-host", "schedule-slip"], Reason.GENERATOR_LIMITED),
        (["noisy-host"], Reason.NO_VALID_STEP),
        (["server-away"], Reason.NO_VALID_STEP),
        ([], Reason.NO_VALID_STEP),
    ],
)
def test_a_trial_without_a_step_to_judge_says_whose_fault_that_was(codes, reason):
    found = tuple(Doubt(code, "blocks", f"because of {code}", "mend it") for code in codes)
    said, detail = why_all_invalid([replace(LIMITED, doubts=found)])
    assert said is reason
    assert f"because of {codes[-1]}; mend it" in detail if codes else "no request" in detail


def test_a_busy_generator_is_named_beside_an_unmet_limit():
    busy = replace(OVER, doubts=doubts.generator_doubts(0.8))
    found = found_on(record(busy, maximum=None))
    assert [doubt.code for doubt in found] == ["limit-unmet", "generator-busy"]


def test_facts_of_a_host_do_not_apply_to_an_endpoint():
    found = (
        doubts.server_elsewhere("http://h/"),
        doubts.stand_in("x", "y"),
        doubts.not_pinned(),
        doubts.co_located(),
        doubts.shared_core(),
        doubts.loopback(),
    )
    assert [doubt.code for doubt in found_on(record(found=found))] == ["loopback"]


def test_where_no_maximum_is_sought_none_is_said_to_be_a_lower_bound():
    made = record(found=(doubts.at_least(False),))
    assert found_on(made, has_maximum=False) == ()
    assert [doubt.code for doubt in found_on(made)] == ["at-least"]


def test_what_to_do_is_said_in_the_options_of_the_command():
    made = record(found=(doubts.no_interval(9.0), doubts.cut_short("it")))
    assert [d.next_step for d in found_on(made)] == ["give a longer --budget-s", "measure again"]
    one = found_on(made, has_maximum=False)
    assert one[0].next_step == "give a longer --duration-s"


def test_each_doubt_is_said_once():
    made = record(found=(doubts.loopback(), doubts.loopback()))
    assert len(found_on(made)) == 1
