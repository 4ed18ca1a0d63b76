"""Every operation by the target that clients name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from rightsizer.api import groups, metadata, models, packages, tags
from rightsizer.api.context import Operation
from rightsizer.api.jobs.creating import create_job, stop_job
from rightsizer.api.jobs.describing import describe_job, list_steps
from rightsizer.api.jobs.journal import lines_of, tags_of
from rightsizer.api.jobs.listing import list_jobs
from rightsizer.api.logs import get_log_events

OPERATIONS: Mapping[str, Operation] = {
    **groups.OPERATIONS,
    **packages.OPERATIONS,
    **models.OPERATIONS,
    **metadata.OPERATIONS,
    **tags.operations(tags_of),
    "SageMaker.CreateInferenceRecommendationsJob": create_job,
    "SageMaker.DescribeInferenceRecommendationsJob": describe_job,
    "SageMaker.ListInferenceRecommendationsJobs": list_jobs,
    "SageMaker.ListInferenceRecommendationsJobSteps": list_steps,
    "SageMaker.StopInferenceRecommendationsJob": stop_job,
    "Logs_20140328.GetLogEvents": partial(get_log_events, lines=lines_of),
}
"""What is not here is answered with "not implemented here"."""
