"""Every doubt the engine raises: its code, how much it weighs, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rightsizer.analysis.figures import Doubt, Interval, PayloadFigures
from rightsizer.traffic.records import Reach
from rightsizer.units import chance, counted, duration, interval, milliseconds, percent, significant

GENERATOR_LIMITED_RATIO = 0.9
"""A generator busier than this of one core may be what was measured."""
GENERATOR_BUSY_RATIO = 0.7
DOMINANT_SHARE = 0.6
LONGER = "measure longer (duration_s or budget_s)"
NEARER = "measure from a machine nearer to it, or count the network in the limit"
NETWORK_RATIO = 0.05
"""Of the latency limit: more of it than this in the network makes the figure one of both."""


def generator_doubts(cpu_ratio: float) -> tuple[Doubt, ...]:
    """The generator's own share of its core during a step."""
    figures = {"generator_cpu_ratio": cpu_ratio}
    next_step = "drive fewer requests a second, or give the generator a faster core"
    if cpu_ratio > GENERATOR_LIMITED_RATIO:
        message = (
            f"the generator used {percent(cpu_ratio)} of its core: it may be what was measured"
        )
        return (Doubt("generator-limited", "blocks", message, next_step, figures),)
    if cpu_ratio > GENERATOR_BUSY_RATIO:
        message = f"the generator used {percent(cpu_ratio)} of its core"
        return (Doubt("generator-busy", "weakens", message, next_step, figures),)
    return ()


def generator_ended(rate_per_s: float) -> Doubt:
    """A search that had to turn back before it met the server's limit."""
    message = f"at {significant(rate_per_s)}/s the generator, not the server, was at its limit"
    next_step = "give it more --workers or a faster core, and measure again"
    return Doubt("generator-limited", "weakens", message, next_step, {"rate_per_s": rate_per_s})


def sample_doubts(n: int, percentile: float) -> tuple[Doubt, ...]:
    """Too few samples for the percentile to rest on more than a handful."""
    # Five samples beyond the percentile: fewer and one slow request sets it.
    # The nudge keeps P90 at 50 where the division says 50.00000000000001.
    needed = math.ceil(5 / (1 - percentile) - 1e-9)
    if n >= needed:
        return ()
    message = f"{n} samples are few for P{percentile * 100:.0f}; {needed} or more carry it"
    figures = {"n": float(n), "needed": float(needed)}
    return (
        Doubt(
            "too-few-samples",
            "weakens",
            message,
            LONGER,
            figures,
        ),
    )


def no_interval(window_s: float) -> Doubt:
    """Neighbouring requests are alike; a short window has too few independent stretches."""
    message = f"a window of {significant(window_s)} s is too short for an honest latency interval"
    figures = {"window_s": window_s}
    return Doubt(
        "too-few-effective-samples",
        "note",
        message,
        LONGER,
        figures,
    )


def one_payload(name: str, figures: PayloadFigures, share_sent: float, percentile: str) -> Doubt:
    """The latency percentile is one payload's."""
    message = (
        f"{percentile} is set by payload {name}: {percent(share_sent)} of the requests, "
        f"{percent(figures.above_share)} of those at or above it"
    )
    values: dict[str, float | str | None] = {
        "payload": name,
        "share_sent": share_sent,
        "share_above": figures.above_share,
    }
    next_step = "check that the payload mix is that of production"
    return Doubt("latency-set-by-one-payload", "note", message, next_step, values)


def dominant_payload(
    by_payload: Mapping[str, PayloadFigures], percentile: str
) -> tuple[Doubt, ...]:
    """At most one doubt: a payload in at most half of the requests that sets the percentile."""
    total = sum(figures.n for figures in by_payload.values())
    for name, figures in by_payload.items():
        sent = figures.n / total
        if len(by_payload) > 1 and sent <= 0.5 and figures.above_share >= DOMINANT_SHARE:
            return (one_payload(name, figures, sent, percentile),)
    return ()


def closed_basis() -> Doubt:
    """A closed maximum is not what independent callers get."""
    return Doubt(
        "closed-basis",
        "note",
        "measured with users in a loop: independent callers queue, and get less within the limit",
        "measure with open traffic (rate) before promising a rate to independent callers",
    )


def at_least(stopped_early: bool) -> Doubt:
    """The maximum is a lower bound."""
    why = "the trial was stopped early" if stopped_early else "the highest load still held"
    message = f"{why}: the maximum is at least this"
    next_step = "add load levels until one is over the limit"
    if stopped_early:
        next_step = "lift stop.max_invocations_per_min, or set stop.flat_invocations: continue"
    return Doubt("at-least", "weakens", message, next_step)


def near_limit(latency_ms: float, limit_ms: float, ci: Interval | None) -> tuple[Doubt, ...]:
    """A pass whose interval holds the limit."""
    if ci is None or ci[1] is None or ci[1] <= limit_ms:
        return ()
    message = (
        f"latency {milliseconds(latency_ms)} ({interval(ci)}) may be over the limit "
        f"of {milliseconds(limit_ms)}"
    )
    figures = {"latency_ms": latency_ms, "limit_ms": limit_ms}
    return (
        Doubt(
            "limit-uncertain",
            "weakens",
            message,
            LONGER,
            figures,
        ),
    )


def co_located() -> Doubt:
    """Server and generator share a core."""
    return Doubt(
        "co-located",
        "weakens",
        "server and generator share a physical core: the server looks slower than it is",
        "use a smaller instance type, or a machine with more cores",
    )


def shared_core() -> Doubt:
    """A hyperthread sibling was busy."""
    return Doubt(
        "shared-core",
        "note",
        "the server's CPUs are hyperthreads of shared physical cores",
        "compare only with types of the same layout",
    )


def not_pinned() -> Doubt:
    """CPU sets do not exist on this platform."""
    return Doubt(
        "not-pinned",
        "weakens",
        "this platform has no CPU sets: the server may have used any CPU",
        "measure on Linux",
    )


def loopback() -> Doubt:
    """No network between generator and server."""
    return Doubt(
        "loopback",
        "note",
        "measured over loopback: no network time is in the latency",
        "add your network's round trip to the latency",
    )


def one_start() -> Doubt:
    """Starts differ; one start does not show by how much."""
    return Doubt(
        "one-start",
        "note",
        "one server start: the spread between starts (often about 3 %) is not in the interval",
        "run the job again and compare",
    )


def not_separated(
    p_good: float, *, kept: bool, tied: int, more_starts: int | None, more_s: float | None
) -> Doubt:
    """Others may be as good as the best: a note where the race's promise was `kept`.

    `more_s` is what so many more starts of each of the tied would take.
    """
    only = "" if kept else " only"
    others = f"; {tied - 1} other{'s' if tied > 2 else ''} may be as good" if tied > 1 else ""
    message = f"within 2 % of the best cost with probability {chance(p_good)}{only}{others}"
    more = "more starts"
    figures = {"p_good": p_good, "tied": float(tied)}
    if more_starts is not None and more_s is not None:
        more = f"about {more_starts} more starts of each, {duration(more_s)} in all,"
        figures |= {"more_starts": float(more_starts), "more_min": more_s / 60}
    next_step = f"{more} would tell: raise limits.max_trials and limits.duration_s"
    if kept:
        next_step = f"take either; {more} would tell them apart"
        return Doubt("tied", "note", message, next_step, figures)
    return Doubt("not-separated", "weakens", message, next_step, figures)


def undercut(
    name: str, at_least_per_min: float, *, others: int, is_priced: bool, next_step: str
) -> Doubt:
    """Of the first row: another is better by its lower bound alone, so this is not the best.

    `name` says which, `others` how many more there are, `next_step` how to learn its maximum;
    without prices it carries more.
    """
    better = "costs less" if is_priced else "carries more"
    alike = f", as {'do' if others > 1 else 'does'} {counted(others, 'other')}" if others else ""
    message = (
        f"{name} {better} than row 1 even at the {significant(at_least_per_min)} invocations a "
        f"minute that it was seen to carry{alike}: it stands behind as its maximum is not known"
    )
    figures = {"at_least_per_min": at_least_per_min, "others": float(others)}
    return Doubt("undercut", "weakens", message, f"learn its maximum: {next_step}", figures)


def race_without(name: str, others: int, p: float, next_step: str) -> Doubt:
    """Of the first row: candidates that told no maximum were not raced, and one of them is the best
    with probability `p`. `name` is the likeliest, `others` how many more there are."""
    who = f"{name} and {counted(others, 'other')}" if others else name
    best = "one of them is the best" if others else "it is the best"
    message = f"the race was without {who}, as no maximum is known: {best} with probability "
    figures = {"p": p, "others": float(others)}
    todo = f"search it in a job of its own: {next_step}"
    return Doubt("race-without", "weakens", message + chance(p), todo, figures)


def dropped(p_good: float, starts: int) -> Doubt:
    """A candidate that the race had no further use for."""
    many = "one start" if starts == 1 else f"{starts} starts"
    message = f"dropped after {many}: within 2 % of the best cost with probability {chance(p_good)}"
    return Doubt("dropped", "note", message, "", {"p_good": p_good, "starts": float(starts)})


def interpolated(percentile: str, limit_ms: float) -> Doubt:
    """A maximum at a limit that was not the job's."""
    message = (
        f"the maximum at {percentile} {milliseconds(limit_ms)} was read off the latencies measured "
        "at other loads, not measured"
    )
    return Doubt("interpolated", "weakens", message, "run the job with this limit to confirm it")


def not_covered(candidates: int, percentile: str, limit_ms: float) -> Doubt:
    """Candidates whose stored latencies do not tell of a limit that was not the job's."""
    message = (
        f"{counted(candidates, 'candidate')} could not be ranked at {percentile} "
        f"{milliseconds(limit_ms)}: the best may be among them"
    )
    next_step = "run the job with this limit"
    return Doubt("not-covered", "weakens", message, next_step, {"candidates": float(candidates)})


def few_starts(starts: int, wanted: int) -> Doubt:
    """A candidate that may be the best, and whose race ended before its figures were finals'."""
    many = "one start" if starts == 1 else f"{starts} starts"
    message = f"{many}: the figures are those of its first search until {wanted} finals are in"
    next_step = "raise limits.duration_s and limits.max_trials"
    return Doubt("few-starts", "weakens", message, next_step, {"starts": float(starts)})


def stand_in(instance_type: str, host: str) -> Doubt:
    """The host is declared a substitute."""
    return Doubt(
        "stand-in",
        "weakens",
        f"{host} stands in for {instance_type}: the numbers are those of {host}",
        f"measure on a real {instance_type} before relying on them",
    )


def emulated(instance_type: str) -> Doubt:
    """Cut to size on like hardware."""
    return Doubt(
        "emulated",
        "note",
        f"{instance_type} emulated by a CPU set on the same processor family",
        "",
    )


def relaxed(what: Sequence[str]) -> Doubt:
    """A container that may do more than the least."""
    return Doubt(
        "relaxed-container",
        "note",
        f"the container was allowed more than the least: {'; '.join(what)}",
        "take back what it does not need",
    )


def far_host(host: str, reach: Reach | None, limit_ms: float | None) -> Doubt:
    """The network between generator and server is in the latency."""
    where = f"{host} is another machine"
    if reach is None:
        message = f"{where}: the network to it is in the latency, and how much that is is not known"
        return Doubt("far-host", "weakens", message, NEARER)
    network_ms = reach.round_trip_ms + (reach.send_ms or 0.0)
    message = (
        f"{where}: {milliseconds(network_ms)} of the latency are the network's (round trip "
        f"{milliseconds(reach.round_trip_ms)}, sending the largest payload "
        f"{milliseconds(reach.send_ms)})"
    )
    matters = limit_ms is not None and network_ms > NETWORK_RATIO * limit_ms
    figures = {
        "value": network_ms,
        "allowed": None if limit_ms is None else NETWORK_RATIO * limit_ms,
        "round_trip_ms": reach.round_trip_ms,
        "send_ms": reach.send_ms,
    }
    return Doubt("far-host", "weakens" if matters else "note", message, NEARER, figures)


def price_basis(instance_type: str, basis: str) -> tuple[Doubt, ...]:
    """Prices that nobody confirmed."""
    if basis in ("", "yours", "cost model", "corroborated"):
        return ()
    message = f"the price of {instance_type} is {basis}"
    next_step = "check it against your bill and give it in a price file"
    return (Doubt("price-unverified", "weakens", message, next_step, {"price_basis": basis}),)


def no_price(instance_type: str) -> Doubt:
    """Costs are null; ranking is by throughput."""
    return Doubt(
        "no-price",
        "weakens",
        f"{instance_type} has no price: no costs, and ranking by throughput",
        "give a price or an on-prem cost model in a price file",
    )


def by_price_only(names: Sequence[str], host: str) -> Doubt:
    """Instance types that were measured once, as a group."""
    return Doubt(
        "by-price-only",
        "note",
        f"host {host} cannot tell {', '.join(names)} apart: measured once, ranked by price only",
        "measure them on machines of those types to tell them apart",
        {"instance_types": ", ".join(names)},
    )


def count_uncertain(low: int, high: int | None, likely: tuple[int, float] | None = None) -> Doubt:
    """The maximum's interval holds another instance count; `likely`: one, and its probability, by
    what is known of all candidates."""
    many = f"{low} to {high}" if high is not None else f"{low} or more"
    message = f"the maximum's interval allows {many} instances"
    figures = {"low": float(low), "high": None if high is None else float(high)}
    if likely is not None:
        message += f"; all trials together make {likely[0]} likely ({chance(likely[1])})"
        figures |= {"likely": float(likely[0]), "p_likely": likely[1]}
    todo = f"{LONGER}, or plan for the higher count"
    return Doubt("count-uncertain", "weakens", message, todo, figures)


def cut_short(what: str, todo: str = "resume") -> Doubt:
    """The job or trial did not run to its plan."""
    return Doubt("cut-short", "weakens", f"{what}: not all that was planned was measured", todo)


def time_scaled(scale: float) -> Doubt:
    """Of the API: phases were not as long as the reference's."""
    return Doubt(
        "time-scaled",
        "weakens",
        f"phases and the time of Default jobs were {scale:g} times as long as the reference's, and "
        "users joined as much faster",
        "start `rightsizer serve` without --time-scale",
        {"time_scale": scale},
    )


def other_image(note: str) -> Doubt:
    """Of the API: what ran is not of the kind that was asked for."""
    todo = "give a local image of that kind in `images` of serve.yaml"
    return Doubt("other-image", "weakens", note, todo)


def left_out(combinations: int, candidates: int, cut: Sequence[str], todo: str) -> Doubt:
    """A default job had no room for all combinations of its knobs; `todo` would make some."""
    of = f"; not all values were measured of {', '.join(cut)}" if cut else ""
    message = f"{combinations} of {combinations + candidates} combinations were not measured{of}"
    next_step = f"{f'{todo}, or ' if todo else ''}sweep what matters in a job of type advanced"
    return Doubt("combinations-left-out", "note", message, next_step)


def step_cut_short() -> Doubt:
    """A step that ended before half of its window."""
    message = "the step was cut short before half of it was measured: it tells nothing"
    return Doubt("step-cut-short", "blocks", message, "resume")


def server_elsewhere(url: str) -> Doubt:
    """A server that the engine did not start."""
    return Doubt(
        "server-elsewhere",
        "weakens",
        f"the server at {url} was not started here: its size is as you say, not as was seen",
        "make sure that it runs on the instance type you named",
    )


def content_refused(refused: int, checked: int) -> Doubt:
    """Sampled replies lacked the text that they must contain."""
    message = f"{refused} of {checked} replies looked at lack the required content"
    figures = {"refused": float(refused), "checked": float(checked)}
    return Doubt("content-refused", "blocks", message, "look at what the server answers", figures)


def below_floor(unloaded_ms: float, limit_ms: float) -> Doubt:
    """The limit cannot be met at any load."""
    message = (
        f"the limit of {milliseconds(limit_ms)} is below the unloaded latency of "
        f"{milliseconds(unloaded_ms)}: no load can meet it"
    )
    figures = {"unloaded_latency_ms": unloaded_ms, "limit_ms": limit_ms}
    return Doubt("limit-below-floor", "blocks", message, "raise the limit", figures)


def budget_too_short(wanted_s: float) -> Doubt:
    """The open steps do not say where the maximum is."""
    message = "the budget was too short for a maximum: too few independent requests near it"
    next_step = f"allow about {duration(wanted_s)} of open traffic (budget_s)"
    return Doubt("budget-too-short", "blocks", message, next_step, {"wanted_s": wanted_s})


def not_soaked(confirmed_s: float) -> Doubt:
    """What takes minutes to show has not shown."""
    message = f"confirmed for {duration(confirmed_s)}: leaks and throttling take longer to show"
    next_step = "give traffic.confirm_s: 600 (and the budget for it) before production"
    return Doubt("not-soaked", "note", message, next_step, {"confirmed_s": confirmed_s})


def model_disagrees(ratio: float) -> Doubt:
    """The server is not the queue that its unloaded latency and capacity make."""
    message = (
        f"the maximum is {significant(ratio)} of what a queue of the unloaded latencies would "
        "give: the server shares, batches, caches or pauses; the measured steps decided"
    )
    return Doubt("model-disagrees", "note", message, "", {"measured_over_predicted": ratio})


def not_confirmed(label: str) -> Doubt:
    """The fresh step at the estimate was clearly over the limit."""
    message = f"the fresh step at the estimate ({label}) was clearly over the limit"
    next_step = "measure again with more budget; until then plan for the interval's lower end"
    return Doubt("not-confirmed", "weakens", message, next_step)


def confirmation_lost(label: str) -> Doubt:
    """The last step was spoilt, and no budget was left to repeat it."""
    message = f"the fresh step at the estimate ({label}) could not be judged: earlier ones speak"
    return Doubt("not-confirmed", "weakens", message, "see the step's own doubts; measure again")
