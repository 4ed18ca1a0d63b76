"""serve.yaml: everything wrong in it is said at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from rightsizer.api.settings import ImageSpec, load_settings
from rightsizer.errors import ProblemsError


def written(folder: Path, text: str) -> Path:
    path = folder / "serve.yaml"
    path.write_text(text)
    return path


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        load_settings(path)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def test_a_whole_file_is_read_and_its_paths_are_relative_to_it(tmp_path):
    (tmp_path / "hosts.yaml").write_text("hosts: [{name: here}]\n")
    (tmp_path / "prices.csv").write_text("instance_type,price_per_hour\n")
    (tmp_path / "models").mkdir()
    path = written(
        tmp_path,
        """\
hosts: hosts.yaml
prices: prices.csv
images:
  - {uri: "*/mine:*", image: "mine:1", command: ["{python}", mine.py]}
endpoints: [{name: a, url: "http://127.0.0.1:8000/"}, {name: b, url: "http://127.0.0.1:8001/"}]
s3: {endpoint_url: "http://127.0.0.1:9000/", region: eu-west-1}
folders: [models, .]
""",
    )
    settings = load_settings(path)
    assert settings.images == (
        ImageSpec(uri="*/mine:*", image="mine:1", command=("{python}", "mine.py")),
    )
    assert [endpoint.name for endpoint in settings.endpoints] == ["a", "b"]
    assert settings.s3 is not None
    assert settings.s3.region == "eu-west-1"


def test_an_empty_file_is_the_defaults(tmp_path):
    assert load_settings(written(tmp_path, "")).region == "us-east-1"


def test_a_row_of_images_that_says_nothing_is_refused(tmp_path):
    path = written(tmp_path, "images:\n  - {uri: 'a:*', image: a}\n  - {uri: 'b:*'}\n")
    (problem,) = problems_of(path)
    assert problem.startswith("3: images[1]: says nothing of what runs here; give image")


def test_two_endpoints_of_one_name_are_refused(tmp_path):
    text = """\
endpoints:
  - {name: a, url: "http://127.0.0.1:1/"}
  - name: a
    url: "http://127.0.0.1:2/"
"""
    assert problems_of(written(tmp_path, text)) == [
        "3: endpoints[1].name: 'a' is taken; rename one"
    ]


def test_files_and_folders_that_are_not_there_are_all_named(tmp_path):
    (tmp_path / "a-file").touch()
    (tmp_path / "a-folder").mkdir()
    text = """\
hosts: nowhere.yaml
prices: a-folder
folders:
  - a-folder
  - a-file
  - nowhere
"""
    assert problems_of(written(tmp_path, text)) == [
        "1: hosts: there is no file 'nowhere.yaml'; mend the path",
        "2: prices: there is no file 'a-folder'; mend the path",
        "5: folders[1]: there is no folder 'a-file'; make it, or mend the path",
        "6: folders[2]: there is no folder 'nowhere'; make it, or mend the path",
    ]


def test_duplicate_and_unknown_keys_are_told_together_with_what_is_missing(tmp_path):
    assert problems_of(written(tmp_path, "hosts: nowhere.yaml\nhosts: b\n")) == [
        "1: hosts: there is no file 'nowhere.yaml'; mend the path",
        "2: hosts: duplicate key, first on line 1; keep one",
    ]
    (problem,) = problems_of(written(tmp_path, "hots: a\n"))
    assert problem == "1: hots: unknown key; remove it or mend its spelling"
