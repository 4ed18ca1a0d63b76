"""The SageMaker contract, and what inference.py sees of it; without HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from savedmodel_server.inference_script import InferenceScript
from savedmodel_server.reply import Reply
from savedmodel_server.sagemaker import Invocation, answer, tfs_body

from .fake_model import FakeModel
from .serving import ROOT

URL = "http://127.0.0.1:8080"
REFERENCE_SCRIPT = ROOT / "containers" / "resnet50" / "code" / "inference.py"


def script(tmp_path: Path, text: str) -> InferenceScript:
    path = tmp_path / "inference.py"
    path.write_text(text)
    return InferenceScript(path, FakeModel(), URL)


def document(reply: Reply) -> object:
    return json.loads(reply.body)


def test_an_image_is_one_row_of_the_string_input():
    reply = answer(FakeModel(), Invocation(b"abc", "application/x-image"))
    assert (reply.status, document(reply)) == (200, {"predictions": [3]})


def test_parameters_of_the_content_type_do_not_matter():
    body = b'{"instances": ["abc"]}'
    assert answer(FakeModel(), Invocation(body, "Application/JSON; charset=utf-8")).status == 200


@pytest.mark.parametrize("content_type", ["text/plain", None])
def test_other_content_types_are_a_415(content_type):
    reply = answer(FakeModel(), Invocation(b"abc", content_type))
    assert reply.status == 415
    assert document(reply) == {"error": f"Unsupported Media Type: {content_type or 'Unknown'}"}


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"instances": [1]}', b'{"instances": [1]}'),
        (b'{"inputs": [1]}', b'{"inputs": [1]}'),
        (b"[[1], [2]]", b'{"instances":[[1], [2]]}'),
        (b"[1, 2]", b'{"instances":[[1, 2]]}'),
        (b'{"x": 1}', b'{"instances":[{"x": 1}]}'),
    ],
)
def test_json_without_tensorflow_servings_keys_becomes_the_instances(body, sent):
    assert tfs_body(body) == sent


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ("tfs-model-name=half,tfs-model-version=123", 200),
        ("own=1, tfs-method=predict", 200),
        ("tfs-model-version=9", 404),
        ("tfs-model-name=../x", 400),
        ("tfs-model-version=x", 400),
        ("tfs-method=train", 400),
    ],
)
def test_custom_attributes_choose_what_answers_images_too(attributes, status):
    for body, content_type in (
        (b"abc", "application/x-image"),
        (b'{"instances": ["abc"]}', "application/json"),
    ):
        invocation = Invocation(body, content_type, custom_attributes=attributes)
        assert answer(FakeModel(), invocation).status == status


def test_a_pair_of_handlers_sees_the_status_of_a_refused_prediction(tmp_path: Path):
    pair = script(
        tmp_path,
        "def input_handler(data, context):\n    return data.read()\n"
        "def output_handler(response, context):\n"
        "    return f'{response.status_code} {response.json()}', 'text/plain'\n",
    )
    assert pair.answer(Invocation(b"{}")).body.startswith(b"400 {'error'")
    good = pair.answer(Invocation(b'{"instances": ["abc"]}'))
    assert (good.body, good.content_type) == (b"200 {'predictions': [3]}", "text/plain")


def test_an_exception_is_a_500_with_its_message(tmp_path: Path, capsys):
    failing = script(tmp_path, "def handler(data, context):\n    raise KeyError('k')\n")
    reply = failing.answer(Invocation(b""))
    assert (reply.status, document(reply)) == (500, {"error": "'k'"})
    assert "KeyError" in capsys.readouterr().err


def test_the_reference_script_predicts_images_without_a_second_request():
    reply = InferenceScript(REFERENCE_SCRIPT, FakeModel(), URL).answer(
        Invocation(b"abc", "application/x-image")
    )
    assert (reply.status, document(reply)) == (200, {"predictions": [3]})


def test_the_reference_script_refuses_other_media_types(capsys):
    invocation = Invocation(b"abc", "text/csv")
    reply = InferenceScript(REFERENCE_SCRIPT, FakeModel(), URL).answer(invocation)
    assert reply.status == 415
    assert "Unsupported Media Type: text/csv" in capsys.readouterr().err


def test_the_direct_prediction_of_a_script_heeds_the_custom_attributes(capsys):
    script = InferenceScript(REFERENCE_SCRIPT, FakeModel(), URL)
    for attributes, status in (("tfs-model-version=123", 200), ("tfs-model-version=9", 500)):
        invocation = Invocation(b"abc", "application/x-image", custom_attributes=attributes)
        assert script.answer(invocation).status == status
    assert "Specific(half, 9)" in capsys.readouterr().err
