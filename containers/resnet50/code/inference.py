"""Image bytes in, TensorFlow Serving's JSON out. Runs in SageMaker's TensorFlow container too."""

import base64
import json

TIMEOUT_S = 60


class UnsupportedMediaType(ValueError):
    """Rightsizer's savedmodel-server answers with this status; SageMaker's container with 500."""

    http_status = 415


def handler(data, context):
    """One request: application/x-image (JPEG bytes), or a TensorFlow Serving JSON body."""
    content = data.read()
    media_type = context.request_content_type.split(";")[0].strip().lower()
    if media_type == "application/x-image":
        predict = getattr(context, "predict", None)
        if predict is not None:  # savedmodel-server: no base64, no second HTTP request
            return predict(content), "application/json"
        content = json.dumps({"instances": [{"b64": base64.b64encode(content).decode()}]})
    elif media_type != "application/json":
        raise UnsupportedMediaType(
            f"Unsupported Media Type: {context.request_content_type}; "
            "send application/x-image or application/json"
        )
    return _post(content, context)


def _post(body, context):
    import requests  # SageMaker's container has it

    response = requests.post(context.rest_uri, data=body, timeout=TIMEOUT_S)
    if response.status_code != 200:
        raise ValueError(response.text)
    return response.content, "application/json"
