"""Requests as botocore signs them, for whoever sends them by hand."""

from __future__ import annotations

import json
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys
from rightsizer.api.credentials import Credentials

KEYS = Credentials("AKIAABCDEFGHIJKLMNOP", "s3cretS3cretS3cretS3cretS3cretS3cretS3cr", "us-east-1")
JSON = "application/x-amz-json-1.1"


def signed(
    operation: str, document: Any, host: str, *, keys: Credentials = KEYS, **more: str
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a call of SageMaker's, signed now."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    request = AWSRequest("POST", f"http://{host}/", data=body)
    headers = {"Content-Type": JSON, "X-Amz-Target": f"SageMaker.{operation}", "Host": host}
    for name, value in {**headers, **more}.items():
        request.headers[name] = value
    signer = SigV4Auth(Keys(keys.access_key_id, keys.secret_access_key), "sagemaker", keys.region)
    signer.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}, body
