"""Why no combination of knobs meets what a knobs file requires, in lines to act on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rightsizer.combinations import combinations, slack_of
from rightsizer.expressions import Expression
from rightsizer.knobs import SIZE_NAMES, Knob, Knobs, Size
from rightsizer.units import counted, given

Groups = Sequence[Sequence[Knob]]


def why_unmet(
    knobs: Knobs, groups: Groups, sizes: Mapping[str, Size], fixed: Mapping[str, str]
) -> list[str]:
    """A line for each requirement that is never met on some type, and for those never met together.

    Args:
        groups: the knobs that are swept, those that have to do with each other together.
        sizes: by instance type; on none of them can all be met.
        fixed: variables that the job sets itself.
    """
    found: list[str] = []
    left = {name: list(range(len(knobs.require))) for name in sizes}
    for i, test in enumerate(knobs.require):
        alone = _only(knobs, [i])
        never = {n: size for n, size in sizes.items() if not _can_meet(alone, groups, size, fixed)}
        if never:
            where = _where([test], never, fixed)
            found.append(
                f"{knobs.required_at[i]}: {test.text} is never met{where}; {_todo(test, fixed)}"
            )
        for name in never:
            left[name].remove(i)
    together: dict[tuple[int, ...], dict[str, Size]] = {}
    for name, size in sizes.items():
        while not _can_meet(_only(knobs, left[name]), groups, size, fixed):
            fewest = _fewest(knobs, left[name], groups, size, fixed)
            together.setdefault(tuple(fewest), {})[name] = size
            left[name] = [i for i in left[name] if i not in fewest]
    for places, those in sorted(together.items(), key=lambda item: item[0]):
        tests = [knobs.require[i] for i in places]
        texts = [test.text for test in tests]
        found.append(
            f"{knobs.required_at[places[0]]}: {', '.join(texts[:-1])} and {texts[-1]} can each be "
            f"met, but never together{_where(tests, those, fixed)}; add values that meet them all, "
            "or mend one"
        )
    return found


def _only(knobs: Knobs, places: Sequence[int]) -> Knobs:
    return replace(knobs, require=tuple(knobs.require[i] for i in places))


def _can_meet(knobs: Knobs, groups: Groups, size: Size, fixed: Mapping[str, str]) -> bool:
    if slack_of(knobs, fixed, set(fixed), size) is None:
        return False
    return all(any(True for _ in combinations(knobs, group, size, fixed)) for group in groups)


def _fewest(
    knobs: Knobs, places: Sequence[int], groups: Groups, size: Size, fixed: Mapping[str, str]
) -> list[int]:
    """Of requirements that cannot be met together some that can without any one of them."""
    kept = list(places)
    for i in places:
        rest = [place for place in kept if place != i]
        if not _can_meet(_only(knobs, rest), groups, size, fixed):
            kept = rest
    return kept


def _where(tests: Sequence[Expression], sizes: Mapping[str, Size], fixed: Mapping[str, str]) -> str:
    """The types, with what the requirements ask of them: ` on local.1cpu (1 core)`."""
    names = set[str]().union(*(test.names for test in tests))
    own = [f"{name}={fixed[name]}" for name in sorted(names & fixed.keys())]
    if not names & {*SIZE_NAMES}:
        return f" with {', '.join(own)}" if own else ""
    told = []
    for kind, size in sizes.items():
        known = {
            "cores": counted(size.cores, "core"),
            "cpus": counted(size.cpus, "vCPU"),
            "memory_gib": f"{given(round(size.memory_gib, 1))} GiB",
            "accelerators": counted(size.accelerators, "accelerator"),
        }
        told.append(f"{kind} ({', '.join([known[n] for n in SIZE_NAMES if n in names] + own)})")
    return f" on {', '.join(told)}"


def _todo(test: Expression, fixed: Mapping[str, str]) -> str:
    swept = test.names - {*SIZE_NAMES} - fixed.keys()
    if not swept:
        return "change server.environment, or mend it"
    wanted = test.wanted(swept)
    if not wanted:
        return "add values that meet it, or mend it"
    return f"add a {wanted} value of {' or '.join(sorted(swept))}"
