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
    (tmp_path / "prices.csv").write_text("instance_type,price_per_hour\nml.c5.large,1\n")
    (tmp_path / "models").mkdir()
    path = written(
        tmp_path,
        """\
hosts: hosts.yaml
prices: prices.csv
images:
  - {uri: "*/mine:*", image: "mine:1", command: ["{python}", mine.py, "{port}"]}
endpoints: [{name: a, url: "http://127.0.0.1:8000/"}, {name: b, url: "http://127.0.0.1:8001/"}]
s3: {endpoint_url: "http://127.0.0.1:9000/", region: eu-west-1}
folders: [models, .]
""",
    )
    settings = load_settings(path)
    assert settings.images == (
        ImageSpec(uri="*/mine:*", image="mine:1", command=("{python}", "mine.py", "{port}")),
    )
    assert [endpoint.name for endpoint in settings.endpoints] == ["a", "b"]
    assert settings.s3 is not None
    assert settings.s3.region == "eu-west-1"


def test_what_is_wrong_in_the_files_it_names_is_told_with_its_own_problems(tmp_path):
    (tmp_path / "hosts.yaml").write_text("hosts:\n  - {name: a}\n  - {name: a, knid: process}\n")
    (tmp_path / "prices.csv").write_text("instance_type,price_per_hour\nml.c5.large,dear\n")
    told = problems_of(written(tmp_path, "hosts: hosts.yaml\nprices: prices.csv\nfolders: [no]\n"))
    assert any("there is no folder 'no'" in problem for problem in told)
    assert any("hosts.yaml:3: hosts[1].knid: unknown key" in problem for problem in told)
    assert any("prices.csv" in problem and "'dear' is not a number" in problem for problem in told)


def test_a_file_that_is_no_yaml_is_a_problem_beside_the_others(tmp_path):
    (tmp_path / "hosts.yaml").write_text("hosts: [")
    told = problems_of(written(tmp_path, "hosts: hosts.yaml\nfolders: [no]\n"))
    assert len(told) == 2
    assert any("hosts.yaml" in problem and "not YAML" in problem for problem in told)


def test_a_command_that_nothing_could_be_put_into_is_refused(tmp_path):
    text = """\
images:
  - {uri: "a", command: [serve, "{port}", "{model_dir}"]}
  - {uri: "b", command: [serve, "{prot}"]}
"""
    assert problems_of(written(tmp_path, text)) == [
        "3: images[1].command: the command has no {port}; add it",
        "3: images[1].command: unknown placeholder {prot}; known are python, port, model_dir; "
        "{{ is a brace",
    ]


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
