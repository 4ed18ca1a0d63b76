"""A trial's stored samples to its judged record. Can be run again at any time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from rightsizer.analysis import doubts
from rightsizer.analysis.steps import Conditions, count, judge_steps
from rightsizer.analysis.trial import Setting, basis_of, judge_trial
from rightsizer.errors import Reason, TrialState
from rightsizer.machines import Placement
from rightsizer.protocols import Request
from rightsizer.samples import read_samples
from rightsizer.spec import JobSpec
from rightsizer.trials import TrialRecord
from rightsizer.verdicts import why_all_invalid


def conditions_of(spec: JobSpec, request: Request, placement: Placement) -> Conditions:
    """What the samples of a trial at this placement are judged by."""
    return Conditions(
        limit=spec.limit,
        request_timeout_s=request.timeout_s,
        payload_names=[body.name for body in request.bodies],
        vcpus=len(placement.server_cpus),
        memory_bytes=placement.memory_bytes,
        merges_short=spec.traffic.type in ("phases", "stairs"),
    )


def analyse(
    record: TrialRecord, spec: JobSpec, request: Request, job_dir: Path, *, pinned: bool
) -> TrialRecord:
    """Samples and measurement to steps, requests and figures; can be run again at any time."""
    measurement, placement = record.measurement, record.measurement.placement
    if not measurement.records or placement is None:
        return record
    files = [job_dir / name for name in record.sample_files]
    conditions = conditions_of(spec, request, placement)
    samples = read_samples(files)[: measurement.records[-1].committed]
    steps = judge_steps(samples, measurement.records, measurement.usage, conditions)
    probes = measurement.probe_latency_ms.values()
    figures = judge_trial(
        steps,
        basis_of(spec.traffic, spec.limit),
        spec.limit,
        Setting(
            instance_type=record.candidate.instance_type,
            host=record.host,
            placement=placement,
            pinned=pinned,
            traffic_type=spec.traffic.type,
            stopped_early=measurement.stopped_early,
            cut_short=measurement.cut_short,
            probe_latency_ms=max(probes, default=None),
            reach=measurement.reach,
            url=spec.server.url,
            over_loopback=spec.server.url is None or _is_loopback(spec.server.url),
        ),
        [
            doubts.content_refused(step.content_refused, step.content_checked)
            for step in measurement.records
            if step.content_refused
        ],
    )
    if record.stage == "final":
        # Its one closed step is a warm-up: no capacity to make a queue of.
        figures = replace(figures, queue=None)
    return replace(record, steps=tuple(steps), figures=figures, requests=count(samples["outcome"]))


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def state_by_figures(record: TrialRecord) -> TrialRecord:
    """A trial that ran to its plan still failed if nothing in it worked."""
    requests = record.requests
    if record.figures is None or requests.attempted + requests.dropped == 0:
        detail = "no request was made in the time given"
        return replace(record, state=TrialState.INVALID, reason=Reason.NO_SAMPLES, detail=detail)
    if requests.succeeded == 0 and requests.timed_out > requests.failed:
        detail = f"all {requests.attempted} requests timed out or failed"
        return replace(record, state=TrialState.FAILED, reason=Reason.HUNG, detail=detail)
    judged = [step for step in record.steps if step.verdict != "invalid"]
    if not judged:
        reason, detail = why_all_invalid(record.steps)
        return replace(record, state=TrialState.INVALID, reason=reason, detail=detail)
    if all(step.verdict == "over-errors" for step in judged):
        detail = record.figures.limit_detail
        return replace(record, state=TrialState.FAILED, reason=Reason.ERRORS, detail=detail)
    return record
