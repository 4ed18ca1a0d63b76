"""Export ResNet50 as a SavedModel on JPEG bytes, packed the way SageMaker's container wants it.

    python containers/resnet50/export.py --out build/resnet50 [--weights auto|imagenet|random]

Writes OUT/model/1 (the SavedModel) and OUT/model.tar.gz (it, and code/ with inference.py).
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import socket
import sys
import tarfile
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before the import, which prints

import tensorflow as tf

CODE = Path(__file__).parent / "code"
SIDE_PIXELS = 224
TOP = 5
SEED = 20
# What keras.applications subtracts from ResNet50's inputs: the mean blue, green, red of ImageNet.
MEAN_BGR = (103.939, 116.779, 123.68)

WEIGHTS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
    "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
)
REACH_TIMEOUT_S = 5.0
STALL_TIMEOUT_S = 30.0


class ExportError(Exception):
    """The export cannot be made. The message is one line: what, why, what to do."""


def main(arguments: Sequence[str]) -> int:
    """Export and pack; the result is the exit status."""
    parser = argparse.ArgumentParser(description="Export ResNet50 and pack model.tar.gz.")
    parser.add_argument("--out", type=Path, default=Path("build/resnet50"), help="%(default)s")
    parser.add_argument(
        "--weights",
        choices=["auto", "imagenet", "random"],
        default="auto",
        help="auto: imagenet where it can be had, else random; compute cost is the same",
    )
    options = parser.parse_args(arguments)
    try:
        network = build_network(options.weights)
        archive = export(network, options.out)
    except (ExportError, OSError) as error:
        print(f"export.py: {error}", file=sys.stderr)
        return 1
    print(f"wrote {archive} ({archive.stat().st_size / 1e6:.1f} MB)")
    return 0


def build_network(weights: str) -> Any:
    """The Keras ResNet50, with the weights that could be had; says which.

    Raises:
        ExportError: imagenet weights were demanded and cannot be had.
    """
    if weights != "random":
        try:
            network = _imagenet()
            print("weights: imagenet")
            return network
        except ExportError as error:
            if weights == "imagenet":
                raise ExportError(
                    f"{error}; use --weights random, or copy the file there"
                ) from None
            print(f"weights: random (seed {SEED}), because {error}")
    else:
        print(f"weights: random (seed {SEED}), as asked")
    tf.keras.utils.set_random_seed(SEED)
    return tf.keras.applications.ResNet50(weights=None)


def _imagenet() -> Any:
    keras_home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    cached = keras_home / "models" / WEIGHTS_URL.rsplit("/", 1)[1]
    if not cached.is_file() and (problem := _unreachable(WEIGHTS_URL)):
        raise ExportError(f"the weights are not at {cached} and cannot be downloaded ({problem})")
    with _socket_timeout(STALL_TIMEOUT_S):
        try:
            return tf.keras.applications.ResNet50(weights="imagenet")
        except Exception as error:  # Keras raises a bare Exception for a failed download
            reason = " ".join(str(error).split())
            raise ExportError(f"the imagenet weights could not be loaded ({reason})") from None


def _unreachable(url: str) -> str | None:
    """Why a download could not begin; None where it could.

    In a thread of its own, because looking up a name has no timeout that Python could set.
    """
    problems: list[str | None] = []

    def probe() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=REACH_TIMEOUT_S):
                problems.append(None)
        except OSError as error:
            problems.append(str(getattr(error, "reason", error)))

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(2 * REACH_TIMEOUT_S)
    return problems[0] if problems else f"no answer within {2 * REACH_TIMEOUT_S:.0f} s"


@contextmanager
def _socket_timeout(timeout_s: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout_s)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def signatures(network: Any) -> dict[str, Any]:
    """The network's signatures: the best classes of images, as JPEG files or as pixels."""
    best_classes = freeze(network)
    pixel_spec = tf.TensorSpec([SIDE_PIXELS, SIDE_PIXELS, 3], tf.float32)
    file_spec = tf.TensorSpec([None], tf.string, name="image_bytes")
    batch_spec = tf.TensorSpec([None, *pixel_spec.shape], tf.float32, name="image")

    def from_files(image_bytes: Any) -> dict[str, Any]:
        return best_classes(tf.map_fn(decode, image_bytes, fn_output_signature=pixel_spec))

    def from_pixels(image: Any) -> dict[str, Any]:
        return best_classes(image)

    return {
        "serving_default": tf.function(from_files, input_signature=[file_spec]),
        "float_tensor": tf.function(from_pixels, input_signature=[batch_spec]),
    }


def decode(content: Any) -> Any:
    """One JPEG file as 224 x 224 pixels."""
    return tf.image.resize(tf.io.decode_jpeg(content, channels=3), [SIDE_PIXELS, SIDE_PIXELS])


def freeze(network: Any) -> Callable[[Any], dict[str, Any]]:
    """`classify` with the weights as constants of its graph.

    TensorFlow then folds each batch normalisation into the convolution before it.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    batch_spec = tf.TensorSpec([None, SIDE_PIXELS, SIDE_PIXELS, 3], tf.float32, name="image")
    live = tf.function(lambda image: classify(network, image)).get_concrete_function(batch_spec)
    frozen = convert_variables_to_constants_v2(live)
    names = sorted(live.structured_outputs)  # a frozen function returns a list in this order

    def best_classes(image: Any) -> dict[str, Any]:
        return dict(zip(names, frozen(image), strict=True))

    return best_classes


def classify(network: Any, pixels: Any) -> dict[str, Any]:
    """The best classes and their probabilities, best first."""
    probabilities = network(pixels[..., ::-1] - tf.constant(MEAN_BGR), training=False)
    best = tf.math.top_k(probabilities, k=TOP)
    return {"classes": best.indices, "probabilities": best.values}


def export(network: Any, out: Path) -> Path:
    """Write OUT/model/1 and OUT/model.tar.gz; each appears whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as scratch:
        fresh = Path(scratch) / "model"
        # An empty module: all there is hangs on the signatures, and Keras objects stay behind.
        tf.saved_model.save(tf.Module(), str(fresh / "1"), signatures=signatures(network))
        packed = Path(scratch) / "model.tar.gz"
        pack({"model": fresh, "code": CODE}, packed)
        shutil.rmtree(out / "model", ignore_errors=True)
        fresh.rename(out / "model")
        packed.rename(out / "model.tar.gz")
    return out / "model.tar.gz"


def pack(folders: dict[str, Path], archive: Path) -> None:
    """A .tar.gz of folders under new names; the same content gives the same bytes."""
    # Random weights hardly compress: the fastest level is as small as the best.
    with (
        archive.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, folder in folders.items():
            for path in sorted(folder.rglob("*")):
                if "__pycache__" not in path.parts:
                    inside = Path(name) / path.relative_to(folder)
                    tar.add(path, arcname=f"./{inside}", recursive=False, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.isdir() else 0o644
    return member


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
