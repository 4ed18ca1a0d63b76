"""Where the model lies in the folder that an archive was unpacked to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from savedmodel_server.errors import StartError

EXPECTED = "expected <name>/<version>/saved_model.pb or <version>/saved_model.pb there"


@dataclass(frozen=True)
class ModelFolder:
    """One version of one model on disk."""

    name: str
    version: int
    path: Path
    script: Path | None  # code/inference.py


def find_model(model_dir: Path, wanted_name: str | None = None) -> ModelFolder:
    """The highest version of the model in a folder.

    Args:
        wanted_name: which one to serve where there are several; with one, the name to serve it by.

    Raises:
        StartError: there is no model, or there are several and none is the wanted one.
    """
    if not model_dir.is_dir():
        raise StartError(f"no model: {model_dir} is not a folder; name one with --model-dir")
    models = {
        folder.name: versions for folder in _folders(model_dir) if (versions := _versions(folder))
    }
    if versions := _versions(model_dir):
        models[model_dir.resolve().name] = versions
    if not models:
        raise StartError(f"no model in {model_dir}: {EXPECTED}")
    found = wanted_name if wanted_name in models else next(iter(models))
    if len(models) > 1 and found != wanted_name:
        names = ", ".join(sorted(models))
        raise StartError(f"{model_dir} holds several models: choose with --model-name: {names}")
    script = model_dir / "code" / "inference.py"
    version = max(models[found])
    return ModelFolder(
        name=wanted_name or found,
        version=version,
        path=models[found][version],
        script=script if script.is_file() else None,
    )


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir())


def _versions(folder: Path) -> dict[int, Path]:
    return {
        int(path.name): path
        for path in _folders(folder)
        if path.name.isascii() and path.name.isdigit() and (path / "saved_model.pb").is_file()
    }
