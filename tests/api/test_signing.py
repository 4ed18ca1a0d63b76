"""Signature Version 4: what botocore signs is accepted, and nothing else is."""

from __future__ import annotations

import datetime as clock
import hashlib
import json
import re
import secrets
from collections.abc import Callable

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from rightsizer.api import signing
from rightsizer.api.credentials import Credentials
from rightsizer.api.faults import ApiFault

KEYS = Credentials("AKIAABCDEFGHIJKLMNOP", "s3cretS3cretS3cretS3cretS3cretS3cretS3cr", "us-east-1")
NOW_S = 1_700_000_000.0
TARGETS = {"sagemaker": "SageMaker.CreateModel", "logs": "Logs_20140328.GetLogEvents"}
BODY = json.dumps({"ModelName": "größer", "Tags": ["画像"]}, ensure_ascii=False).encode()

Headers = dict[str, str]


@pytest.fixture(autouse=True)
def _client_clock(monkeypatch):
    """The client signs at NOW_S."""
    at = clock.datetime.fromtimestamp(NOW_S, clock.UTC).replace(tzinfo=None)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: at)


def signed(
    body: bytes = BODY,
    *,
    service: str = "sagemaker",
    keys: Credentials = KEYS,
    region: str = "us-east-1",
    scope: str = "",
    **more: str,
) -> Headers:
    """Headers of a request as botocore signs it; `scope` is the service that it signs for."""
    request = AWSRequest("POST", "http://127.0.0.1:8717/", data=body)
    request.headers["Host"] = "127.0.0.1:8717"
    request.headers["Content-Type"] = "application/x-amz-json-1.1"
    request.headers["X-Amz-Target"] = TARGETS[service]
    for name, value in more.items():
        request.headers[name.replace("_", "-")] = value
    signer = SigV4Auth(Keys(keys.access_key_id, keys.secret_access_key), scope or service, region)
    signer.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def verify(headers: Headers, body: bytes = BODY, service: str = "sagemaker", at_s: float = NOW_S):
    signing.verify(KEYS, service, headers, body, at_s)


def refusal(headers: Headers, body: bytes = BODY, at_s: float = NOW_S) -> ApiFault:
    with pytest.raises(ApiFault) as caught:
        verify(headers, body, at_s=at_s)
    return caught.value


@pytest.mark.parametrize("service", TARGETS)
@pytest.mark.parametrize("body", [BODY, b"{}", b"", b"\x00\xff" * 5000], ids=len)
def test_what_botocore_signs_is_accepted(service, body):
    verify(signed(body, service=service), body, service)


def test_many_requests_and_keys_are_signed_as_botocore_does():
    for _ in range(50):
        body = secrets.token_bytes(secrets.randbelow(200))
        keys = Credentials(
            "AKIA" + secrets.token_hex(8).upper(), secrets.token_hex(20), "eu-west-3"
        )
        headers = signed(body, keys=keys, region="eu-west-3")
        signing.verify(keys, "sagemaker", headers, body, NOW_S)


def test_headers_with_spaces_inside_are_written_down_as_botocore_does():
    headers = signed(amz_sdk_request="  attempt=1;   max=5\t\tx ", x_amz_user_agent="a   b")
    assert "amz-sdk-request" in headers["authorization"]
    verify(headers)
    # what an HTTP server strips of a value
    verify({name: value.strip() for name, value in headers.items()})


def test_headers_that_are_not_under_the_signature_may_be_added_on_the_way():
    verify({**signed(), "user-agent": "Boto3", "x-forwarded-for": "10.0.0.1", "via": "proxy"})


def test_a_session_token_and_a_digest_of_the_body_are_accepted_where_signed():
    digest = hashlib.sha256(BODY).hexdigest()
    verify(signed(x_amz_content_sha256=digest, x_amz_security_token="token"))


@pytest.mark.parametrize("ahead_s", [-899.0, 0.0, 899.0])
def test_a_clock_may_differ_by_a_quarter_of_an_hour(ahead_s):
    verify(signed(), at_s=NOW_S + ahead_s)


# -- tampering ---------------------------------------------------------------------------------


def without(headers: Headers, name: str) -> Headers:
    return {key: value for key, value in headers.items() if key != name}


def unsigned(headers: Headers, name: str) -> Headers:
    """The header no longer named as signed."""
    listed = re.sub(rf"(?<=[=;]){name};|;{name}(?=,)", "", headers["authorization"])
    assert listed != headers["authorization"]
    return {**headers, "authorization": listed}


def scoped(headers: Headers, old: str, new: str) -> Headers:
    assert old in headers["authorization"]
    return {**headers, "authorization": headers["authorization"].replace(old, new)}


OTHER = {"x-amz-target": "SageMaker.DeleteModel"}
TAMPERED: dict[str, tuple[Callable[[Headers], Headers], str, str]] = {
    "target": (lambda h: {**h, **OTHER}, "InvalidSignatureException", "does not match"),
    "host": (lambda h: {**h, "host": "evil:8717"}, "InvalidSignatureException", "does not match"),
    "content type": (
        lambda h: {**h, "content-type": "text/plain"},
        "InvalidSignatureException",
        "does not match",
    ),
    "date moved": (
        lambda h: {**h, "x-amz-date": "20231114T221321Z"},
        "InvalidSignatureException",
        "does not match",
    ),
    "signature": (
        lambda h: {**h, "authorization": h["authorization"][:-64] + "0" * 64},
        "InvalidSignatureException",
        "does not match",
    ),
    "date of another day": (
        lambda h: scoped(h, "/20231114/", "/20231113/"),
        "InvalidSignatureException",
        "Date in Credential scope",
    ),
    "region": (
        lambda h: scoped(h, "/us-east-1/", "/eu-west-1/"),
        "InvalidSignatureException",
        "AWS_DEFAULT_REGION=us-east-1",
    ),
    "service": (
        lambda h: scoped(h, "/sagemaker/", "/s3/"),
        "InvalidSignatureException",
        "scoped to correct service: sagemaker",
    ),
    "terminator": (
        lambda h: scoped(h, "/aws4_request", "/aws5_request"),
        "IncompleteSignatureException",
        "Credential is not",
    ),
    "scope cut": (
        lambda h: scoped(h, "/sagemaker/aws4_request", ""),
        "IncompleteSignatureException",
        "Credential is not",
    ),
    "no date": (
        lambda h: without(h, "x-amz-date"),
        "IncompleteSignatureException",
        "X-Amz-Date is missing",
    ),
    "date garbled": (
        lambda h: {**h, "x-amz-date": "yesterday"},
        "IncompleteSignatureException",
        "X-Amz-Date is missing or no date",
    ),
    "host not signed": (lambda h: unsigned(h, "host"), "IncompleteSignatureException", "host"),
    "no host": (lambda h: without(h, "host"), "IncompleteSignatureException", "host is signed"),
    "date not signed": (
        lambda h: unsigned(h, "x-amz-date"),
        "IncompleteSignatureException",
        "SignedHeaders lacks x-amz-date",
    ),
    "target not signed": (
        lambda h: unsigned(h, "x-amz-target"),
        "IncompleteSignatureException",
        "SignedHeaders lacks x-amz-target",
    ),
    "another of Amazon's added": (
        lambda h: {**h, "x-amz-security-token": "t"},
        "IncompleteSignatureException",
        "SignedHeaders lacks x-amz-security-token",
    ),
    "digest added": (
        lambda h: {**h, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
        "IncompleteSignatureException",
        "SignedHeaders lacks x-amz-content-sha256",
    ),
    "header removed": (
        lambda h: without(h, "content-type"),
        "IncompleteSignatureException",
        "content-type is signed and not there",
    ),
    "nothing signed": (
        lambda h: {
            **h,
            "authorization": re.sub("SignedHeaders=[^,]+", "SignedHeaders=;", h["authorization"]),
        },
        "IncompleteSignatureException",
        "SignedHeaders lacks host",
    ),
    "no authorization": (
        lambda h: without(h, "authorization"),
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    ),
    "key cut": (
        lambda h: scoped(h, KEYS.access_key_id, KEYS.access_key_id[:-1]),
        "UnrecognizedClientException",
        "another access key",
    ),
    "key not ASCII": (
        lambda h: scoped(h, KEYS.access_key_id, "ÄKIA"),
        "UnrecognizedClientException",
        "another access key",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_request_that_was_changed_is_refused(name):
    change, code, words = TAMPERED[name]
    refused = refusal(change(signed()))
    assert refused.code == code
    assert words in refused.message
    assert refused.status in (400, 403)


@pytest.mark.parametrize("body", [b"", b"{}", BODY + b" ", BODY.replace(b"gr", b"GR")], ids=len)
def test_another_body_is_refused(body):
    assert refusal(signed(), body).code == "InvalidSignatureException"


def test_a_digest_that_is_not_the_bodys_is_refused_though_signed():
    for digest in ("UNSIGNED-PAYLOAD", hashlib.sha256(b"other").hexdigest()):
        refused = refusal(signed(x_amz_content_sha256=digest))
        assert refused.code == "InvalidSignatureException"
        assert refused.message == "The body is not the one that was signed"


def test_an_old_signature_and_one_from_the_future_are_refused():
    late, early = refusal(signed(), at_s=NOW_S + 901), refusal(signed(), at_s=NOW_S - 901)
    assert {late.code, early.code} == {"InvalidSignatureException"}
    assert late.message == "Signature expired: 20231114T221320Z is over 15 minutes ago"
    assert early.message == "Signature not yet current: 20231114T221320Z is over 15 minutes ahead"


def test_another_key_another_secret_region_or_service_is_refused():
    other_key = Credentials("AKIAZZZZZZZZZZZZZZZZ", KEYS.secret_access_key, KEYS.region)
    assert refusal(signed(keys=other_key)).code == "UnrecognizedClientException"
    other_secret = Credentials(KEYS.access_key_id, "x" * 40, KEYS.region)
    assert refusal(signed(keys=other_secret)).code == "InvalidSignatureException"
    region = refusal(signed(region="eu-west-1"))
    assert region.code == "InvalidSignatureException"
    assert "export AWS_DEFAULT_REGION=us-east-1, or give `region` in serve.yaml" in region.message
    assert refusal(signed(scope="s3")).message.endswith("scoped to correct service: sagemaker")


@pytest.mark.parametrize(
    "given",
    [
        "Bearer abc",
        "Basic dXNlcjpwYXNz",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=" + "0" * 63,
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=" + "G" * 64,
        "AWS4-HMAC-SHA256 Credential=a/b, Signature=" + "0" * 64,
        "AWS4-ECDSA-P256-SHA256 Credential=a/b, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 " * 900,
        "\xff\x00",
    ],
    ids=lambda given: given[:20],
)
def test_an_authorization_of_another_form_is_refused(given):
    refused = refusal({**signed(), "authorization": given})
    assert refused.code == "IncompleteSignatureException"
    assert "requires AWS4-HMAC-SHA256" in refused.message


def test_no_refusal_tells_the_secret_or_the_right_signature():
    right = signed()["authorization"][-64:]
    faults = [refusal(change(signed())) for change, _, _ in TAMPERED.values()]
    faults += [refusal(signed(), b"other"), refusal(signed(), at_s=0)]
    assert len(faults) > 20
    for fault in faults:
        assert KEYS.secret_access_key not in fault.message
        assert right not in fault.message
        assert not re.search("[0-9a-f]{64}", fault.message)
    assert KEYS.secret_access_key not in repr(KEYS)
