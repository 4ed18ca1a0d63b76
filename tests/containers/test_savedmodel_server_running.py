"""The running server, over HTTP."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .serving import Server, run_to_end, serving

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.shared_cpus]

IMAGE = "application/x-image"
ATTRIBUTES = "X_Amzn_SageMaker_Custom_Attributes"
BYTES = b"\xff\xd8 any bytes \x00"

HANDLER = """
import time

def handler(data, context):
    content = data.read()
    if content == b"fail":
        raise ValueError("no good")
    if content == b"sleep":
        time.sleep(30)
    if content == b"post":
        import urllib.request
        body = b'{"instances": ["abc"]}'
        return urllib.request.urlopen(context.rest_uri, body).read(), "application/json"
    if content == b"context":
        told = [context.model_name, context.model_version, context.method,
                context.custom_attributes, context.request_content_type, context.accept_header,
                context.content_length]
        return repr(told), "text/plain"
    return context.predict(content), context.accept_header
"""

PAIR = """
import json

def input_handler(data, context):
    return json.dumps({"instances": [data.read().decode().upper()]})

def output_handler(response, context):
    if response.status_code != 200:
        raise ValueError(response.text)
    return response.content, context.accept_header
"""


def test_raw_bytes_reach_the_only_string_input(echo: Server):
    answer = echo.post("/invocations", BYTES, IMAGE)
    assert answer.status == 200
    assert answer.content_type == "application/json"
    encoded = base64.b64encode(BYTES).decode()
    assert answer.document == {
        "predictions": [{"content_bytes": {"b64": encoded}, "length": len(BYTES)}]
    }


def test_a_body_of_many_segments_arrives_whole(echo: Server):
    answer = echo.post("/invocations", bytes(3_000_000), IMAGE)
    assert answer.document["predictions"][0]["length"] == 3_000_000


def test_json_is_tensorflow_servings(echo: Server):
    encoded = base64.b64encode(BYTES).decode()
    body = {"instances": [{"b64": encoded}, "text"]}
    answer = echo.post("/invocations", body)
    assert [row["length"] for row in answer.document["predictions"]] == [len(BYTES), 4]
    assert echo.post("/v1/models/echo:predict", body) == answer
    assert echo.post("/v1/models/echo/versions/1:predict", body) == answer


def test_instances_give_rows_and_inputs_give_columns(tiny: Server):
    rows = tiny.post("/v1/models/tiny:predict", {"instances": [[1.0, 2.5]]})
    assert rows.document == {"predictions": [[2.0, 5.0]]}
    columns = tiny.post("/v1/models/tiny:predict", {"inputs": {"x": [[1.0, 2.5]]}})
    assert columns.document == {"outputs": [[2.0, 5.0]]}


def test_a_signature_with_two_inputs_takes_them_by_name(tiny: Server):
    body = {"signature_name": "add", "instances": [{"a": 1.5, "b": 2}, {"a": 0.25, "b": 1}]}
    answer = tiny.post("/v1/models/tiny:predict", body)
    assert answer.document == {"predictions": [3.5, 1.25]}


def test_the_highest_version_is_served_and_another_is_unknown(tiny: Server):
    [status] = tiny.get("/v1/models/tiny").document["model_version_status"]
    assert (status["version"], status["state"]) == ("3", "AVAILABLE")
    assert tiny.get("/v1/models/tiny/versions/3").status == 200
    answer = tiny.get("/v1/models/tiny/versions/1")
    assert answer.status == 404
    assert answer.document == {"error": "Could not find version 1 of model tiny"}


def test_metadata_tells_the_signatures(tiny: Server):
    document = tiny.get("/v1/models/tiny/metadata").document
    assert document["model_spec"] == {"name": "tiny", "signature_name": "", "version": "3"}
    definition = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    x = definition["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in x["tensor_shape"]["dim"]] == ["-1", "2"]
    assert definition["method_name"] == "tensorflow/serving/predict"


def test_inputs_that_the_graph_refuses_are_a_400(tiny: Server):
    body = {"signature_name": "add", "inputs": {"a": [1.0, 2.0], "b": [1, 2, 3]}}
    answer = tiny.post("/v1/models/tiny:predict", body)
    assert answer.status == 400
    assert answer.document["error"].startswith("Incompatible shapes: ")


@pytest.mark.parametrize(
    ("method", "path", "content_type", "status", "error"),
    [
        ("POST", "/invocations", "text/plain", 415, "Unsupported Media Type: text/plain"),
        ("POST", "/invocations", IMAGE, 415, "Unsupported Media Type: application/x-image needs"),
        ("GET", "/invocations", "application/json", 405, "Method Not Allowed"),
        ("GET", "/nowhere", "application/json", 404, "Not Found"),
        ("POST", "/v1/models/half:predict", "application/json", 404, "Servable not found for"),
        ("POST", "/v1/models/tiny", "application/json", 400, "Malformed request: POST /v1/models"),
    ],
)
def test_what_is_not_served_is_refused(tiny: Server, method, path, content_type, status, error):
    body = b'{"instances": [[1.0, 2.0]]}' if method == "POST" else None
    answer = tiny.call(method, path, body, {"Content-Type": content_type})
    assert answer.status == status
    assert answer.document["error"].startswith(error)


def test_custom_attributes_choose_model_version_and_method(tiny: Server):
    def ask(attributes: str):
        return tiny.post("/invocations", {"instances": [[1, 2]]}, **{ATTRIBUTES: attributes})

    assert ask("tfs-model-name=tiny,tfs-model-version=3,tfs-method=predict").status == 200
    assert ask("tfs-model-name=other").status == 404
    assert ask("tfs-model-version=7").document == {
        "error": "Servable not found for request: Specific(tiny, 7)"
    }
    assert ask("tfs-method=explain").status == 400
    assert ask("tfs-method=classify").status == 501


def test_every_request_head_is_counted_once(tiny: Server):
    def counts() -> tuple[int, int]:
        stats = tiny.get("/stats").document
        return stats["requests"], stats["in_flight"]

    before, _ = counts()
    for path in ("/invocations", "/v1/models/tiny:predict", "/v1/models/none:predict"):
        tiny.post(path, {"instances": [[1, 2]]})
    tiny.get("/ping")
    tiny.get("/v1/models/tiny")
    assert counts() == (before + 3, 0)
    with socket.create_connection(("127.0.0.1", tiny.port)) as line:
        line.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        assert eventually(lambda: counts() == (before + 4, 1))
    assert eventually(lambda: counts() == (before + 4, 0))


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_concurrent_requests_get_their_own_answers(echo: Server):
    def ask(number: int) -> int:
        answer = echo.post("/invocations", bytes(number), IMAGE)
        length: int = answer.document["predictions"][0]["length"]
        return length

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(1, 100))) == list(range(1, 100))


def with_script(models: Path, folder: Path, script: str) -> Path:
    """A model folder as an archive unpacks to, with an inference.py."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(script)
    (folder / "echo").symlink_to(models / "echo")
    return folder


@pytest.fixture(scope="module")
def handler(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("handler")
    with serving(with_script(models, folder / "model", HANDLER), folder / "log") as server:
        yield server


def test_a_handler_answers_instead_of_the_model(handler: Server):
    answer = handler.post("/invocations", b"abc", "x/y", Accept="a/b")
    assert (answer.status, answer.content_type) == (200, "a/b")
    assert answer.document["predictions"][0]["length"] == 3


def test_a_handler_is_told_of_the_request(handler: Server):
    attributes = "tfs-model-name=echo,own=1"
    answer = handler.post(
        "/invocations", b"context", "x/y", Accept="a/b", **{ATTRIBUTES: attributes}
    )
    told = ["echo", None, None, attributes, "x/y", "a/b", 7]
    assert answer.body == repr(told).encode()


def test_a_handler_may_post_to_the_rest_uri(handler: Server):
    answer = handler.post("/invocations", b"post")
    assert answer.document["predictions"][0]["length"] == 3


def test_what_a_handler_raises_is_a_500(handler: Server):
    answer = handler.post("/invocations", b"fail")
    assert answer.status == 500
    assert answer.document == {"error": "no good"}
    assert handler.post("/invocations", b"abc").status == 200


def test_input_and_output_handlers_enclose_the_prediction(models: Path, tmp_path: Path):
    folder = with_script(models, tmp_path / "model", PAIR)
    with serving(folder, tmp_path / "log") as server:
        answer = server.post("/invocations", b"abc", "text/plain", Accept="a/b")
        assert answer.content_type == "a/b"
        encoded = base64.b64encode(b"ABC").decode()
        assert answer.document["predictions"][0]["content_bytes"] == {"b64": encoded}
        assert server.post("/invocations", b"\xff", "text/plain").status == 500


def test_sigterm_does_not_wait_for_a_handler_that_hangs(models: Path, tmp_path: Path):
    folder = with_script(models, tmp_path / "model", HANDLER)
    with (
        serving(folder, tmp_path / "log") as server,
        socket.create_connection(("127.0.0.1", server.port)) as line,
    ):
        line.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nsleep")
        assert eventually(lambda: server.get("/stats").document["in_flight"] == 1)
        server.process.terminate()
        server.process.wait(5)


def test_a_script_without_handlers_is_refused_in_a_line(models: Path, tmp_path: Path):
    done = run_to_end(with_script(models, tmp_path, "x = 1\n"))
    assert done.returncode == 1
    assert "defines no handlers: define handler(data, context), or" in done.stderr
    assert done.stderr.count("\n") == 1
