"""What is needed to repeat a job: spec, seeds, digests, machine, versions, and where trials ran."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from rightsizer.report.layout import label, one_line
from rightsizer.report.page.content import Table
from rightsizer.results import Job
from rightsizer.secrecy import HIDDEN, says_secret
from rightsizer.trials import TrialRecord
from rightsizer.units import ABSENT, duration

LONGEST_LIST = 1000
"""Of a spec's lists; a trace may be far longer."""


def spec_yaml(job: Job) -> str:
    """The spec as a job file, defaults filled in, without what may be secret.

    Of a default job it is the advanced one that measures what was chosen.
    """
    cut: list[int] = []
    spec = _written(job.spec, cut)
    server = spec.get("server", {})
    if spec.get("type") == "default":
        spec["type"] = "advanced"
        server.pop("knobs", None)
        spec.pop("instance_types", None)
    # Defaults that a job file may not say where they do not apply.
    if not any("image" in holder for holder in (server, *spec.get("candidates", []))):
        server.pop("container", None)
    if "url" not in server:
        server.pop("hooks", None)
    request = server.get("request", {})
    for holder, key in (
        (request, "headers"),
        (server, "environment"),
    ):
        if key in holder:
            holder[key] = _hidden(holder[key])
    path, query, _ = request.get("path", "").partition("?")
    if query:
        request["path"] = f"{path}?{HIDDEN}"
    out = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 100
    yaml.dump(spec, out)
    whole = f"the whole: rightsizer show {job.id} --format json"
    notes = [f"# a list of {n} was cut to {LONGEST_LIST}; {whole}\n" for n in cut]
    return "".join([*notes, out.getvalue()])


def _hidden(named: Mapping[str, Any]) -> dict[str, Any]:
    """Headers or fixed variables, without the values of those whose names say secret."""
    return {name: HIDDEN if says_secret(name) else value for name, value in named.items()}


def facts(job: Job) -> Table:
    """Single facts, by name."""
    origin = job.origin
    seed = job.spec.get("payload", {}).get("seed")
    rows = [
        ["job", job.id],
        ["created (UTC)", job.created],
        ["job file", origin.job_file],
        ["samples and logs", job.samples_dir],
        ["seed", ABSENT if seed is None else f"{seed}; a final's is this and its block's number"],
        *([f"engine's {name}", value] for name, value in origin.machine.items()),
        *([f"version of {name}", value] for name, value in origin.versions.items()),
        *([_digest_name(name), value] for name, value in origin.digests.items()),
    ]
    return Table(["What", "Value"], [[one_line(a), one_line(b) or ABSENT] for a, b in rows])


def trials_table(job: Job) -> Table:
    """Each trial: what, where, on which CPUs, how it ended."""
    headers = ["Trial", "Candidate", "Stage", "Host", "Server's CPUs", "Generator's CPUs"]
    return Table(
        [*headers, "Provenance", "State", "Requests", "Took"],
        [_trial_cells(trial) for trial in job.trials],
    )


def _trial_cells(trial: TrialRecord) -> list[str]:
    placement, requests = trial.measurement.placement, trial.requests
    where = [ABSENT] * 3
    if placement is not None:
        far = " of that machine" if placement.far else ""
        where = [
            ", ".join(map(str, placement.server_cpus)) + far,
            ", ".join(map(str, placement.generator_cpus)),
            placement.provenance,
        ]
    candidate = trial.candidate
    ended = trial.state.value if trial.reason is None else f"{trial.state}: {trial.reason}"
    return [
        trial.id if trial.attempt == 1 else f"{trial.id}, attempt {trial.attempt}",
        one_line(label(candidate.instance_type, candidate.environment, candidate.own_server)),
        trial.stage if trial.stage == "scout" else f"{trial.stage}, block {trial.block}",
        one_line(trial.host),
        *where,
        ended,
        f"{requests.attempted} sent, {requests.succeeded} succeeded",
        duration(trial.wall_s),
    ]


def _digest_name(name: str) -> str:
    return f"id of {name}" if name.startswith("image ") else f"sha256 of {name}"


def _written(value: Any, cut: list[int]) -> Any:
    """What is not given is not written; lengths of lists that are too long go to `cut`."""
    if isinstance(value, Mapping):
        return {k: _written(v, cut) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        if len(value) > LONGEST_LIST:
            cut.append(len(value))
        return [_written(item, cut) for item in value[:LONGEST_LIST]]
    return value
