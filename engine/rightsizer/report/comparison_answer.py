"""What a comparison of two jobs comes to, in a sentence, and what its pairs are called."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rightsizer.candidates import differing
from rightsizer.compared import Compared, Matched
from rightsizer.comparing import Verdict
from rightsizer.report.layout import one_line, variables
from rightsizer.report.shared import shared_by


def answer(found: Compared) -> str:
    """`B is worse: local.1cpu costs +7.1 % an inference (95 % interval +4.0 % to +10.0 %).`

    Of several pairs it counts the verdicts, and names the pair with the largest difference.
    """
    shared, verdict = shared_of(found), found.verdict
    if len(found.pairs) == 1:
        said = _sentence(found.pairs[0], shared)
    else:
        said = _counted(found)
        if verdict in ("better", "worse"):
            said += f"; the most: {_sentence(_extreme(found), shared)}"
        elif len(whys := {pair.comparison.why for pair in found.pairs}) == 1 and whys != {""}:
            said += f": {one_line(whys.pop())}"
    if found.fail_on_regression_ratio is not None:
        allowed = f"{100 * found.fail_on_regression_ratio:g} %"
        many = len(found.regressions)
        said += f"; {many} of {len(found.pairs)} regressed by more than {allowed}"
    return f"B is {_AS[verdict]}: {said}."


def reasons(found: Compared) -> list[str]:
    """`inconclusive: host moved 6% (pairs 1, 3)` for each reason; of one pair the answer has it."""
    every = len(found.pairs)
    if every == 1:
        return []
    by_reason: dict[str, list[str]] = {}
    for number, pair in enumerate(found.pairs, 1):
        if pair.comparison.why:
            by_reason.setdefault(one_line(pair.comparison.why), []).append(str(number))
    return [f"inconclusive: {why} ({_which(numbers, every)})" for why, numbers in by_reason.items()]


def _which(numbers: Sequence[str], every: int) -> str:
    if len(numbers) == every:
        return "every pair"
    return f"pair{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


_ARE: Mapping[Verdict, str] = {
    "worse": "worse",
    "better": "better",
    "same": "the same",
    "inconclusive": "inconclusive",
}
_AS = {**_ARE, "inconclusive": "not to be told from A"}


def _counted(found: Compared) -> str:
    """`2 of 6 pairs are worse, 1 is the same, 3 are inconclusive`, the job's verdict first."""
    verdicts = [pair.comparison.verdict for pair in found.pairs]
    first, *others = sorted(
        set(verdicts), key=lambda one: (one != found.verdict, list(_ARE).index(one))
    )
    told = [f"{verdicts.count(first)} of {len(verdicts)} pairs are {_ARE[first]}"]
    for one in others:
        many = verdicts.count(one)
        told.append(f"{many} {'is' if many == 1 else 'are'} {_ARE[one]}")
    return ", ".join(told)


def _extreme(found: Compared) -> Matched:
    """Of the pairs of the verdict, that with the largest difference."""
    own = [pair for pair in found.pairs if pair.comparison.verdict == found.verdict]
    return max(own, key=lambda pair: abs(math.log(pair.comparison.ratio or 1.0)))


def _sentence(pair: Matched, shared: Mapping[str, str]) -> str:
    comparison, name = pair.comparison, name_of(pair, shared)
    why = f"inconclusive: {one_line(comparison.why)}" if comparison.why else ""
    if comparison.ratio is None or comparison.ratio_ci is None:
        return f"{name}: {why}"
    low, high = comparison.ratio_ci
    ends = (
        "" if low is None or high is None else f" (95 % interval {_signed(low)} to {_signed(high)})"
    )
    told = f"{name} costs {_signed(comparison.ratio)} an inference{ends}"
    return f"{told}; {why}" if why else told


def _signed(ratio: float) -> str:
    """A ratio as a difference: `+4.1 %`."""
    return f"{100 * (ratio - 1):+.1f} %"


def name_of(pair: Matched, shared: Mapping[str, str]) -> str:
    """Its words on one line."""
    return " ".join(words_of(pair, shared))


def words_of(pair: Matched, shared: Mapping[str, str]) -> list[str]:
    """A's instance type and variables, and B's after an arrow where they are others."""
    a, b = (
        [kind, *variables(differing(environment, shared))]
        for kind, environment in zip(pair.instance_types, pair.environments, strict=True)
    )
    return a if a == b else [*a, "->", *b]


def shared_of(found: Compared) -> dict[str, str]:
    """What the candidates of both jobs have in common."""
    pairs = (zip(pair.instance_types, pair.environments, strict=True) for pair in found.pairs)
    return shared_by(side for sides in pairs for side in sides)
