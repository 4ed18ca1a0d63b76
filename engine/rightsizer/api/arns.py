"""Amazon Resource Names of what the API keeps."""

from __future__ import annotations

from rightsizer.api.settings import Settings

GROUP = "model-package-group"
PACKAGE = "model-package"
MODEL = "model"
JOB = "inference-recommendations-job"


def arn_of(settings: Settings, kind: str, name: str) -> str:
    """`arn:aws:sagemaker:REGION:ACCOUNT:KIND/NAME`."""
    return f"arn:aws:sagemaker:{settings.region}:{settings.account_id}:{kind}/{name}"


def name_of(arn: str) -> tuple[str, str] | None:
    """(kind, name) of an ARN of SageMaker's; None where it is none."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or parts[2] != "sagemaker":
        return None
    kind, slash, name = parts[5].partition("/")
    return (kind, name) if slash and name else None


def resolve(settings: Settings, kind: str, given: str) -> tuple[str, str]:
    """(name, ARN) of what a request names by the one or the other.

    The name is empty where the ARN is of another kind, account or region: nothing here has it.
    """
    if not given.startswith("arn:"):
        return given, arn_of(settings, kind, given)
    _, name = name_of(given) or ("", "")
    return (name if given == arn_of(settings, kind, name) else ""), given
