"""How long a planned job takes, and which of its limits are too small for it, in words."""

from __future__ import annotations

from rightsizer.plan import USUAL_FINALISTS, Plan
from rightsizer.report.entries import Entry, Section
from rightsizer.spec import JobSpec
from rightsizer.standing import FEWEST_STARTS
from rightsizer.units import duration


def time_taken(plan: Plan, spec: JobSpec) -> str:
    """What a job takes: of a race the least that is likely, and the most."""
    allowed, expected = duration(spec.limits.duration_s), duration(plan.expected_s)
    if plan.races and plan.expected_s > spec.limits.duration_s:
        return f"at most {allowed}"
    if plan.races:  # until they are apart
        return f"about {expected} if one is clearly the best, at most {allowed}"
    return f"about {expected}{f' of {allowed} allowed' if spec.type == 'default' else ''}"


def too_short(plan: Plan, spec: JobSpec) -> list[Section]:
    """What the limits have no room for, and what they would have to be."""
    allowed_s = spec.limits.duration_s
    wanted = {one.limit: f"raise it to {one.wanted}" for one in plan.needs}
    todo = wanted.get("limits.duration_s", "allow more")
    found = []
    if is_late := plan.scouting_s > allowed_s:
        late = Entry(
            "limits.duration_s",
            f"the job may take {duration(allowed_s)}, less than expected: the last trials would "
            f"not run; {todo}, or sweep less",
        )
        found.append(Section("Too long", (late,)))
    few = {
        "limits.max_trials": f"of {spec.limits.max_trials} trials {len(plan.candidates)} are the "
        "candidates' first: too few are left to tell the best apart",
        "limits.duration_s": f"of {duration(allowed_s)} the candidates' first trials take about "
        f"{duration(plan.scouting_s)}: too little is left to tell the best apart",
    }
    if plan.races and plan.finals < USUAL_FINALISTS * FEWEST_STARTS:
        entries = [
            Entry(one.limit, f"{few[one.limit]}; {wanted[one.limit]}")
            for one in plan.needs
            if not (is_late and one.limit == "limits.duration_s")
        ]
        found += [Section("Not to be separated", tuple(entries))] if entries else []
    return found
