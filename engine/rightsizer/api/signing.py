"""AWS Signature Version 4 of a request, verified.

The scheme is that of the IAM user guide, "Signature Version 4 signing process".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from rightsizer.api.credentials import Credentials
from rightsizer.api.faults import ApiFault

ALGORITHM = "AWS4-HMAC-SHA256"
CLOCK_S = 900.0
"""How far a request's date may be from now."""
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM}\s+Credential=([^,\s]+),\s*SignedHeaders=([a-z0-9;-]+),\s*Signature=([0-9a-f]{{64}})"
)


def verify(
    keys: Credentials,
    service: str,
    headers: Mapping[str, str],
    body: bytes,
    now_s: float,
) -> None:
    """Refuse a `POST /` that the owner of the keys did not sign, for this service, now.

    Args:
        service: `sagemaker` or `logs`, by the target.
        headers: names in lower case, each of those that matter there only once.
        now_s: seconds since the epoch.

    Raises:
        ApiFault: says what is wrong, never what would have been right.
    """
    given = headers.get("authorization")
    if not given:
        raise ApiFault("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
    match = _AUTHORIZATION.fullmatch(given.strip())
    if match is None:
        raise _incomplete(
            f"Authorization header requires {ALGORITHM} with Credential, SignedHeaders, Signature"
        )
    key_id, _, scope = match[1].partition("/")
    signed = match[2].split(";")
    if not hmac.compare_digest(key_id.encode(), keys.access_key_id.encode()):
        what = "The security token included in the request is invalid: it is of another access key"
        raise ApiFault("UnrecognizedClientException", what, 403)
    date = headers.get("x-amz-date", "")
    _require_recent(date, now_s)
    _require_scope(scope, date, keys.region, service)
    _require_signed(headers, signed)
    digest = hashlib.sha256(body).hexdigest()
    if headers.get("x-amz-content-sha256", digest) != digest:
        raise _invalid("The body is not the one that was signed")
    canonical = _canonical(headers, signed, body)
    expected = _signature(keys.secret_access_key, scope, date, canonical)
    if not hmac.compare_digest(expected, match[3]):
        raise _invalid(
            "The request signature we calculated does not match the signature you provided. Check "
            "your secret access key and signing method"
        )


def _require_signed(headers: Mapping[str, str], signed: list[str]) -> None:
    """The host and all that is Amazon's must be under the signature, and what is, must be there."""
    must = ["host", *(name for name in headers if name.startswith("x-amz-"))]
    if missing := [name for name in must if name not in signed]:
        raise _incomplete(f"SignedHeaders lacks {', '.join(missing)}")
    if absent := [name for name in signed if name not in headers]:
        raise _incomplete(f"{', '.join(absent)} is signed and not there")


def _require_recent(date: str, now_s: float) -> None:
    try:
        at_s = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _incomplete("X-Amz-Date is missing or no date") from None
    if at_s < now_s - CLOCK_S:
        raise _invalid(f"Signature expired: {date} is over {CLOCK_S / 60:g} minutes ago")
    if at_s > now_s + CLOCK_S:
        raise _invalid(f"Signature not yet current: {date} is over {CLOCK_S / 60:g} minutes ahead")


def _require_scope(scope: str, date: str, region: str, service: str) -> None:
    parts = scope.split("/")
    if len(parts) != 4 or parts[3] != "aws4_request":
        raise _incomplete("Credential is not KEY/DATE/REGION/SERVICE/aws4_request")
    if parts[0] != date[:8]:
        raise _invalid("Date in Credential scope does not match that of X-Amz-Date")
    if parts[1] != region:
        raise _invalid(
            f"Credential should be scoped to a valid region: this server is {region}; export "
            f"AWS_DEFAULT_REGION={region}, or give `region` in serve.yaml"
        )
    if parts[2] != service:
        raise _invalid(f"Credential should be scoped to correct service: {service}")


def _canonical(headers: Mapping[str, str], signed: list[str], body: bytes) -> str:
    """A `POST /` as both sides write it down to sign it."""
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in signed]
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join(["POST", "/", "", *lines, "", ";".join(signed), digest])


def _signature(secret: str, scope: str, date: str, canonical: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return hmac.new(key, "\n".join([ALGORITHM, date, scope, digest]).encode(), "sha256").hexdigest()


def _incomplete(message: str) -> ApiFault:
    return ApiFault("IncompleteSignatureException", message)


def _invalid(message: str) -> ApiFault:
    return ApiFault("InvalidSignatureException", message, 403)
