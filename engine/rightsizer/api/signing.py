"""AWS Signature Version 4 of a request, verified with botocore's own signer.

The scheme is that of the IAM user guide, "Signature Version 4 signing process".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from rightsizer.api.credentials import Credentials
from rightsizer.api.faults import ApiFault

ALGORITHM = "AWS4-HMAC-SHA256"
CLOCK_S = 900.0
"""How far a request's date may be from now."""
MUST_SIGN = ("host", "x-amz-date", "x-amz-target", "x-amz-content-sha256", "x-amz-security-token")
"""Headers that a signature must cover where a request has them."""
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
        headers: names in lower case.
        now_s: seconds since the epoch.

    Raises:
        ApiFault: says what is wrong, never what would have been right.
    """
    given = headers.get("authorization")
    if not given:
        raise ApiFault("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
    match = _AUTHORIZATION.fullmatch(given.strip())
    if match is None:
        what = (
            f"Authorization header requires {ALGORITHM} with Credential, SignedHeaders, Signature"
        )
        raise ApiFault("IncompleteSignatureException", what)
    key_id, _, scope = match[1].partition("/")
    signed = match[2].split(";")
    if not hmac.compare_digest(key_id.encode(), keys.access_key_id.encode()):
        what = "The security token included in the request is invalid: it is of another access key"
        raise ApiFault("UnrecognizedClientException", what, 403)
    date = headers.get("x-amz-date", "")
    _require_recent(date, now_s)
    _require_scope(scope, date, keys.region, service)
    missing = [name for name in MUST_SIGN if name in headers and name not in signed]
    if missing or "host" not in signed:
        raise ApiFault(
            "IncompleteSignatureException", f"SignedHeaders lacks {', '.join(missing) or 'host'}"
        )
    digest = hashlib.sha256(body).hexdigest()
    if headers.get("x-amz-content-sha256", digest) != digest:
        raise _invalid("The body is not the one that was signed")
    expected = _signature(keys, service, scope, headers, signed, body)
    if not hmac.compare_digest(expected.encode(), match[3].encode()):
        raise _invalid(
            "The request signature we calculated does not match the signature you provided. Check "
            "your secret access key and signing method"
        )


def _require_recent(date: str, now_s: float) -> None:
    try:
        at_s = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise ApiFault("IncompleteSignatureException", "X-Amz-Date is missing or no date") from None
    if at_s < now_s - CLOCK_S:
        raise _invalid(f"Signature expired: {date} is over {CLOCK_S / 60:g} minutes ago")
    if at_s > now_s + CLOCK_S:
        raise _invalid(f"Signature not yet current: {date} is over {CLOCK_S / 60:g} minutes ahead")


def _require_scope(scope: str, date: str, region: str, service: str) -> None:
    parts = scope.split("/")
    if len(parts) != 4 or parts[3] != "aws4_request":
        raise ApiFault(
            "IncompleteSignatureException", "Credential is not KEY/DATE/REGION/SERVICE/aws4_request"
        )
    if parts[0] != date[:8]:
        raise _invalid("Date in Credential scope does not match that of X-Amz-Date")
    if parts[1] != region:
        raise _invalid(
            f"Credential should be scoped to a valid region: this server is {region}; export "
            f"AWS_DEFAULT_REGION={region}, or give `region` in serve.yaml"
        )
    if parts[2] != service:
        raise _invalid(f"Credential should be scoped to correct service: {service}")


def _signature(
    keys: Credentials,
    service: str,
    scope: str,
    headers: Mapping[str, str],
    signed: list[str],
    body: bytes,
) -> str:
    """What botocore would sign this request with."""
    request: Any = AWSRequest("POST", f"http://{headers['host']}/", data=body)
    for name in signed:
        if name not in headers:
            raise ApiFault("IncompleteSignatureException", f"{name} is signed and not there")
        request.headers[name] = headers[name]
    request.context["timestamp"] = headers["x-amz-date"]
    signer: Any = _Signer(Keys(keys.access_key_id, keys.secret_access_key), service, keys.region)
    return str(
        signer.signature(signer.string_to_sign(request, signer.canonical(request, signed)), request)
    )


class _Signer(SigV4Auth):  # type: ignore[misc]
    """With the headers that the client chose to sign."""

    def canonical(self, request: Any, signed: list[str]) -> str:
        names = "\n".join(f"{n}:{' '.join(str(request.headers[n]).split())}" for n in signed)
        digest = hashlib.sha256(request.data).hexdigest()
        return "\n".join(["POST", "/", "", f"{names}\n", ";".join(signed), digest])


def _invalid(message: str) -> ApiFault:
    return ApiFault("InvalidSignatureException", message, 403)
