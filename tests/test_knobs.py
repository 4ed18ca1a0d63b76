"""Knobs files: read strictly, all problems at once; found where the server is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rightsizer.containers import EngineFacts, ImageFacts
from rightsizer.documents import parse_document
from rightsizer.errors import ExitCode, InputError, ProblemsError
from rightsizer.hosts.docker import survey as surveys
from rightsizer.inventory import HostSpec
from rightsizer.knob_files import knobs_of
from rightsizer.knob_reading import parse_knobs
from rightsizer.knobs import Knobs
from rightsizer.spec import ServerSpec

CONTAINERS = Path(__file__).parents[1] / "containers"
ONE = "knobs: [{name: A, meaning: what it is, values: [1]}]\n"


def read(text: str) -> Knobs:
    return parse_knobs(parse_document(Path("knobs.yaml"), text))


def refusals(text: str) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        read(text)
    assert caught.value.exit_code == ExitCode.INPUT
    return [line.removeprefix("knobs.yaml:") for line in caught.value.problems]


def test_values_are_expressions_and_texts_are_taken_as_they_are():
    found = read(
        "knobs:\n"
        "- {name: A, meaning: a, values: [1, 'max(1,cores)'], default: 'max(1, cores)'}\n"
        "- {name: B, meaning: b, texts: ['true', cores], default: 'true', only_with: {A: 1}}\n"
        "require: ['A<=cores']\n"
    )
    first, second = found.knobs
    assert first.written == ("1", "max(1, cores)")
    assert second.written == ("true", "cores")
    assert [test.text for test in found.require] == ["A <= cores"]


def test_everything_that_contradicts_itself_is_told_at_once_with_its_line():
    text = """\
knobs:
- {name: A, meaning: a, values: [1, 2], default: 3}
- {name: A, meaning: again, values: [coers]}
- {name: B, meaning: b, values: [1], texts: [x]}
- {name: C, meaning: c, texts: [x], interacts_with: [NONE, C]}
- {name: cores, meaning: d, values: ["2**9"]}
- {name: D, meaning: e, texts: [x, x], only_with: {C: y}}
- {name: E, meaning: f, values: ["1 < 2"]}
require: ["A + 1", "C <= 1", "WORKERS <= cores", "1 < 2"]
"""
    assert refusals(text) == [
        "2: knobs[0].default: default 3 is none of the values 1, 2; add it",
        "3: knobs[1].name: A is knobs[0] already; keep one",
        "3: knobs[1].values[0]: coers is not known here; known are cores, cpus, memory_gib, "
        "accelerators",
        "4: knobs[2]: give either values (expressions) or texts (taken as they are)",
        "5: knobs[3].interacts_with: NONE is no knob of this file; add it",
        "5: knobs[3].interacts_with: names the knob itself; remove it",
        "6: knobs[4].name: cores has a meaning of its own; rename it",
        "6: knobs[4].values[0]: '2 ** 9' is not understood; numbers, names, + - * // %, min(), "
        "max() are, and one comparison in `require`",
        "7: knobs[5]: the same value is listed twice; keep one",
        "7: knobs[5].only_with: C is never y; its values are x",
        "8: knobs[6].values[0]: a comparison belongs to require; give a number",
        "9: require[0]: is no comparison; write one, such as WORKERS * THREADS <= cores",
        "9: require[1]: C has texts, which are not compared; give it values",
        "9: require[2]: WORKERS is not known here; known are A, cores, E, cpus, memory_gib, "
        "accelerators",
        "9: require[3]: names no knob of this file; it would ask nothing",
    ]


def test_what_has_a_form_is_judged_beside_what_has_none():
    text = """\
knobs:
- {name: A, values: [1, coers], default: 1}
- {name: A, meaning: again, values: [true], default: 3, mroe: 1}
- {name: B, meaning: b, texts: [x], only_with: {A: 7}, interacts_with: [NONE]}
- 7
require: [B <= 1, WORKERS <= cores, 5]
"""
    assert refusals(text) == [
        "2: knobs[0].meaning: required key is missing; add it",
        "2: knobs[0].values[1]: coers is not known here; known are cores, cpus, memory_gib, "
        "accelerators",
        "3: knobs[1].mroe: unknown key; remove it or mend its spelling",
        "3: knobs[1].name: A is knobs[0] already; keep one",
        "3: knobs[1].values[0]: should be a valid string, not True",
        "4: knobs[2].interacts_with: NONE is no knob of this file; add it",
        "4: knobs[2].only_with: A is never 7; its values are 1, coers",
        "5: knobs[3]: must be a mapping of keys to values",
        "6: require[0]: B has texts, which are not compared; give it values",
        "6: require[1]: WORKERS is not known here; known are A, cores, cpus, memory_gib, "
        "accelerators",
        "6: require[2]: should be a valid string, not 5",
    ]


def test_a_name_may_be_that_of_the_knob_that_has_none():
    nameless = "knobs: [{meaning: a, values: [1]}, {name: B, meaning: b, texts: [x, x]}]\n"
    assert refusals(
        nameless.replace("[x, x]", "[x, x], only_with: {A: 1}") + "require: [A < 2]"
    ) == [
        "1: knobs[0].name: required key is missing; add it",
        "1: knobs[1]: the same value is listed twice; keep one",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1: knobs: required key is missing; add it"),
        ("knobs: []", "1: knobs: must not be empty; list at least one"),
        ("[1]", "1: must be a mapping of keys to values"),
        (ONE + "more: 1", "2: more: unknown key; remove it or mend its spelling"),
        ("knobs: [{name: A=, meaning: a, values: [1]}]", "1: knobs[0].name: string should match"),
        ("knobs: [{name: A, meaning: a, values: [true]}]", "1: knobs[0].values[0]: "),
    ],
)
def test_a_file_of_another_form_is_refused(text, said):
    assert refusals(text)[0].startswith(said)


def test_aliases_of_aliases_end_in_one_line(monkeypatch):
    monkeypatch.setattr("rightsizer.documents.MOST_VALUES", 1000)
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(InputError, match="over 1,000 values"):
        read("\n".join(lines))


# -- where they are ----------------------------------------------------------------------------


def found_by(folder: Path, label: str = "", **server: object) -> str | None:
    engine = EngineFacts("unix:///d", images={"a:1": ImageFacts("1", "amd64", knobs=label)})
    knobs = knobs_of(ServerSpec.model_validate(server), folder, [engine])
    return None if knobs is None else knobs.source


def test_they_lie_beside_the_first_file_of_the_command_and_nowhere_else(tmp_path: Path):
    for name in ("one/serve.py", "two/more.py", "two/knobs.yaml", "knobs.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(ONE)
    command = ["{python}", "two/more.py", "one/serve.py"]
    assert found_by(tmp_path, command=command) == str(tmp_path / "two/knobs.yaml")
    assert found_by(tmp_path, command=["{python}", "one/serve.py", "two/more.py"]) is None
    assert found_by(tmp_path, command=[shutil.which("sh"), "two/more.py"]) is not None
    assert found_by(tmp_path, command=["serve"]) is None


def test_a_file_that_the_job_names_wins_and_must_be_there(tmp_path: Path):
    (tmp_path / "serve.py").write_text("")
    (tmp_path / "knobs.yaml").write_text("no: knobs")
    (tmp_path / "own.yaml").write_text(ONE)
    assert found_by(tmp_path, command=["serve.py"], knobs="own.yaml").endswith("own.yaml")
    with pytest.raises(InputError, match=r"none\.yaml"):
        found_by(tmp_path, command=["serve.py"], knobs="none.yaml")


def test_an_image_brings_them_in_its_label(tmp_path: Path):
    assert found_by(tmp_path, ONE, image="a:1") == "image a:1, label rightsizer.knobs"
    assert found_by(tmp_path, ONE, image="b:1") is None
    assert found_by(tmp_path, "", image="a:1") is None
    with pytest.raises(ProblemsError, match=r"image a:1, label rightsizer\.knobs:1: knobs: "):
        found_by(tmp_path, "x: 1", image="a:1")
    with pytest.raises(InputError, match="too long"):
        found_by(tmp_path, ONE + "#" * 70_000, image="a:1")


def test_the_label_is_read_off_the_engine(monkeypatch):
    class FakeEngine:
        address = "unix:///d.sock"

        def __init__(self, *args: object) -> None: ...

        def __enter__(self) -> FakeEngine:
            return self

        def __exit__(self, *args: object) -> None: ...

        def ping(self) -> None: ...

        def info(self) -> dict:
            return {"NCPU": 1, "MemTotal": 1, "Architecture": "x86_64"}

        def image(self, name: str) -> dict:
            labels = {"a": {"rightsizer.knobs": ONE}, "b": None}[name]
            return {"Id": name, "Architecture": "amd64", "Config": {"Labels": labels}}

    monkeypatch.setattr(surveys, "Engine", FakeEngine)
    host = HostSpec(name="d", kind="docker", address="unix:///d.sock")
    images = surveys.survey(host, ["a", "b"]).images
    assert (images["a"].knobs, images["b"].knobs) == (ONE, "")


# -- those of our images -----------------------------------------------------------------------

FILES = sorted(CONTAINERS.glob("*/knobs.yaml"))
SOURCES = {
    "savedmodel-server": ["savedmodel-server"],
    "tensorflow-serving": ["tensorflow-serving"],
    # its entry point starts that of the other
    "tensorflow-serving-neuron": ["tensorflow-serving-neuron", "tensorflow-serving"],
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_every_variable_of_an_images_knobs_is_documented_and_honoured_there(file: Path):
    folders = [CONTAINERS / name for name in SOURCES[file.parent.name]]
    documents = " ".join((folder / "README.md").read_text("utf-8") for folder in folders)
    code = " ".join(
        path.read_text("utf-8")
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in (".py", ".sh")
    )
    own = re.findall(r"TensorFlow reads these itself:(.*?)\.", documents, re.DOTALL)
    own += re.findall(r"\| (`\w+`).*Read by TensorFlow itself", documents)
    for knob in read(file.read_text("utf-8")).knobs:
        assert f"`{knob.name}`" in documents
        assert re.search(rf"\b{knob.name}\b", code) or f"`{knob.name}`" in " ".join(own), knob.name


def test_images_are_built_with_their_knobs_as_a_label(tmp_path: Path):
    assert {file.parent.name for file in FILES} == set(SOURCES)
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" >> {tmp_path}/said\n')
    docker.chmod(0o755)
    script = str(CONTAINERS / "build.sh")
    path = f"{tmp_path}:/usr/bin:/bin"
    subprocess.run([script], env={"PATH": path}, check=True, timeout=60, capture_output=True)
    said = (tmp_path / "said").read_text("utf-8").split("\0")
    labels = [word for word in said if word.startswith("rightsizer.knobs=")]
    files = ["savedmodel-server", *["tensorflow-serving"] * 2, "tensorflow-serving-neuron"]
    texts = [(CONTAINERS / name / "knobs.yaml").read_text("utf-8").rstrip() for name in files]
    assert labels == [f"rightsizer.knobs={text}" for text in texts]


def test_an_image_without_knobs_is_built_without_the_label(tmp_path: Path):
    folder = tmp_path / "containers"
    folder.mkdir()
    shutil.copy(CONTAINERS / "build.sh", folder)
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {tmp_path}/said\n')
    docker.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    script = [str(folder / "build.sh")]
    subprocess.run(script, env={"PATH": path}, check=True, timeout=60, capture_output=True)
    said = (tmp_path / "said").read_text("utf-8")
    assert said.count("build ") == 4
    assert "--label" not in said


def test_a_word_too_long_for_a_name_is_no_file(tmp_path: Path):
    assert found_by(tmp_path, command=["python", "-c", "x" * 5000, "{port}"]) is None


@pytest.mark.parametrize("named", ["max(1, cores)", "2 * 4"])
def test_what_a_knob_depends_on_is_a_text_or_a_plain_number(named: str):
    [said] = refusals(
        "knobs:\n"
        "- {name: A, meaning: a, values: [1, 2 * 4, 'max(1, cores)']}\n"
        f"- {{name: B, meaning: b, texts: [x], only_with: {{A: '{named}'}}}}\n"
    )
    assert f"{named} is no plain number; name one that is (1), or give A texts" in said
