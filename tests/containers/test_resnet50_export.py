"""The real ResNet50: exported, packed, unpacked, served, asked."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .serving import ROOT, Server, environment, serving

pytestmark = pytest.mark.shared_cpus

EXPORT = ROOT / "containers" / "resnet50" / "export.py"
SCRIPT = ROOT / "containers" / "resnet50" / "code" / "inference.py"
SIDE_PIXELS = 224
# Nothing answers there: a download fails at once, wherever the tests run.
NO_NETWORK = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}


def export(out: Path, weights: str, keras_home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXPORT), "--out", str(out), "--weights", weights],
        env=environment(KERAS_HOME=str(keras_home), **NO_NETWORK),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The archive, and what the exporter said."""
    folder = tmp_path_factory.mktemp("resnet50")
    done = export(folder / "out", "auto", folder / "keras")
    assert done.returncode == 0, done.stderr
    return folder / "out" / "model.tar.gz", done.stdout


@pytest.fixture(scope="module")
def resnet50(
    exported: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(exported[0]) as archive:
        archive.extractall(folder, filter="data")
    with serving(folder, tmp_path_factory.mktemp("resnet50-log") / "log") as server:
        yield server


def jpeg(width: int, height: int) -> bytes:
    from PIL import Image

    gradient = Image.linear_gradient("L").resize((width, height))
    image = Image.merge("RGB", [gradient, gradient.rotate(90), gradient.rotate(180)])
    content = io.BytesIO()
    image.save(content, "JPEG", quality=90)
    return content.getvalue()


@pytest.mark.tensorflow
def test_where_the_weights_cannot_be_had_the_export_is_random_and_says_so(exported):
    archive, said = exported
    assert "weights: random (seed 20), because the weights are not at " in said
    assert "cannot be downloaded" in said
    assert f"wrote {archive}" in said


@pytest.mark.tensorflow
def test_the_archive_has_the_reference_layout(exported):
    with tarfile.open(exported[0]) as archive:
        names = archive.getnames()
        code = archive.extractfile("./code/inference.py")
        assert code
        assert code.read() == SCRIPT.read_bytes()
    assert all(name.startswith(("./model/1", "./code/")) for name in names)
    assert {"./model/1/saved_model.pb", "./code/requirements.txt"} <= set(names)
    assert not any("__pycache__" in name for name in names)
    assert [path.name for path in exported[0].parent.iterdir() if path.name[0] == "."] == []


@pytest.mark.tensorflow
def test_the_weights_are_constants_of_the_graph_so_that_they_can_be_folded(exported):
    with tarfile.open(exported[0]) as archive:
        sizes_bytes = {member.name: member.size for member in archive.getmembers()}
    graph_bytes = sizes_bytes["./model/1/saved_model.pb"]
    kept_apart = sum(size for name, size in sizes_bytes.items() if "/variables/" in name)
    assert graph_bytes > 100e6
    assert kept_apart < 1e4


@pytest.mark.tensorflow
def test_weights_that_are_demanded_and_cannot_be_had_are_an_error_in_a_line(tmp_path: Path):
    done = export(tmp_path / "out", "imagenet", tmp_path / "keras")
    assert done.returncode == 1
    assert done.stderr.startswith("export.py: the weights are not at ")
    assert "use --weights random" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.server
@pytest.mark.tensorflow
def test_a_jpeg_of_any_size_gets_its_five_best_classes(resnet50: Server):
    for size in ((640, 480), (300, 900)):
        answer = resnet50.post("/invocations", jpeg(*size), "application/x-image")
        assert answer.status == 200
        [row] = answer.document["predictions"]
        assert len(set(row["classes"])) == 5
        assert all(0 <= number < 1000 for number in row["classes"])
        assert row["probabilities"] == sorted(row["probabilities"], reverse=True)
        assert 0 < sum(row["probabilities"]) <= 1.0001


@pytest.mark.server
@pytest.mark.tensorflow
def test_bytes_and_json_and_decoded_pixels_agree(resnet50: Server):
    from PIL import Image

    content = jpeg(SIDE_PIXELS, SIDE_PIXELS)
    raw = resnet50.post("/invocations", content, "application/x-image").document
    rows = [{"b64": base64.b64encode(content).decode()}]
    assert resnet50.post("/invocations", {"instances": rows}).document == raw
    image = Image.open(io.BytesIO(content)).convert("RGB")
    red_green_blue = [list(band.tobytes()) for band in image.split()]
    flat = [list(map(float, pixel)) for pixel in zip(*red_green_blue, strict=True)]
    pixels = [flat[row : row + SIDE_PIXELS] for row in range(0, len(flat), SIDE_PIXELS)]
    body = {"signature_name": "float_tensor", "instances": [pixels]}
    answer = resnet50.post("/v1/models/model:predict", body).document
    [ours], [theirs] = answer["predictions"], raw["predictions"]
    assert ours["classes"][0] == theirs["classes"][0]
    assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=0.02)


@pytest.mark.server
@pytest.mark.tensorflow
def test_bytes_that_are_no_image_are_an_error_and_harm_nothing(resnet50: Server):
    assert resnet50.post("/invocations", b"no image", "application/x-image").status == 500
    assert resnet50.post("/invocations", jpeg(64, 64), "application/x-image").status == 200


def load_script() -> Any:
    spec = importlib.util.spec_from_file_location("resnet50_inference", SCRIPT)
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_in_sagemakers_container_the_script_posts_base64_to_the_rest_uri(monkeypatch):
    sent: list[tuple[str, Any]] = []

    def post(url: str, data: str, timeout: float) -> SimpleNamespace:
        sent.append((url, json.loads(data)))
        return SimpleNamespace(status_code=200, content=b'{"predictions": []}', text="")

    monkeypatch.setitem(sys.modules, "requests", SimpleNamespace(post=post))
    # As the container's context: a tuple of fields, without `predict`.
    context = SimpleNamespace(
        rest_uri="http://localhost:8501/v1/models/model:predict",
        request_content_type="application/x-image",
    )
    answer = load_script().handler(io.BytesIO(b"\xff\xd8"), context)
    assert answer == (b'{"predictions": []}', "application/json")
    encoded = base64.b64encode(b"\xff\xd8").decode()
    assert sent == [(context.rest_uri, {"instances": [{"b64": encoded}]})]


def test_a_refusal_of_tensorflow_serving_is_passed_on_as_the_exception(monkeypatch):
    refusal = SimpleNamespace(status_code=400, content=b"", text='{"error": "no"}')
    fake = SimpleNamespace(post=lambda *_, **__: refusal)
    monkeypatch.setitem(sys.modules, "requests", fake)
    context = SimpleNamespace(rest_uri="http://x", request_content_type="application/json")
    with pytest.raises(ValueError, match='"error": "no"'):
        load_script().handler(io.BytesIO(b"{}"), context)
