"""Files as plain data that remembers its lines."""

from __future__ import annotations

import json
import math

import pytest
from rightsizer.documents import Document, Problem, WrittenInt, dotted, read_document
from rightsizer.errors import InputError


@pytest.fixture
def read(tmp_path):
    def parse(text: str, name: str = "job.yaml") -> Document:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read_document(path)

    return parse


@pytest.fixture
def refusal(read, tmp_path):
    """The one line that a file is refused with, without its folder."""

    def parse(text: str) -> str:
        with pytest.raises(InputError) as caught:
            read(text)
        line = str(caught.value)
        assert "\n" not in line
        return line.replace(f"{tmp_path}/", "")

    return parse


@pytest.mark.parametrize(
    ("written", "value"),
    [
        # words
        ("hello", "hello"),
        ('"1"', "1"),
        ("'true'", "true"),
        # YAML 1.2: these are words, not booleans, times or dates
        ("yes", "yes"),
        ("3:20", "3:20"),
        ("2026-01-01", "2026-01-01"),
        # nothing
        ("", None),
        ("~", None),
        # booleans
        ("true", True),
        ("False", False),
        # numbers
        ("-5", -5),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("0b101", 5),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        (".inf", math.inf),
        ("-.INF", -math.inf),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(read, written, value):
    found = read(f"a: {written}").data["a"]
    assert (found, type(found) is bool) == (value, type(value) is bool)
    assert isinstance(found, str) == isinstance(value, str)


def test_not_a_number_is_read_as_such(read):
    assert math.isnan(read("a: .nan").data["a"])


@pytest.mark.parametrize("text", ["010", "+5", "0x1F", "1_000", "0b101", "007"])
def test_an_integer_remembers_how_it_was_written(read, text):
    value = read(f"a: {text}").data["a"]
    assert isinstance(value, WrittenInt)
    assert value.text == text
    # and a message shows it that way
    assert repr(value) == text


def test_every_value_knows_its_line(read):
    document = read("a: 1\nb:\n  - c: 2\n    d: [3,\n        4]\n")
    assert {dotted(at): line for at, line in document.lines.items()} == {
        "": 1,
        "a": 1,
        "b": 2,
        "b[0]": 3,
        "b[0].c": 3,
        "b[0].d": 4,
        "b[0].d[0]": 4,
        "b[0].d[1]": 5,
    }


def test_every_duplicate_key_is_a_problem_on_its_own_line_and_the_first_value_counts(read):
    document = read("a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n")
    assert document.data == {"a": 1, "b": {"c": 1}}
    assert document.render(document.problems) == [
        f"{document.path}:2: b.c: duplicate key, first on line 2; keep one",
        f"{document.path}:3: a: duplicate key, first on line 1; keep one",
        f"{document.path}:4: a: duplicate key, first on line 1; keep one",
    ]


def test_a_scalar_that_its_tag_cannot_hold_is_a_problem_not_a_crash(read):
    document = read("a: !!int abc\nb: !!float x\n")
    assert [(p.at, p.message) for p in document.problems] == [
        (("a",), "cannot read 'abc' as int; quote it"),
        (("b",), "cannot read 'x' as float; quote it"),
    ]


def test_a_key_that_is_no_word_is_a_problem(read):
    document = read("? [a, b]\n: 1\nc: 2\n")
    assert document.data == {"c": 2}
    assert [p.message for p in document.problems] == ["a key must be a plain word"]


def test_an_alias_repeats_the_value_of_its_anchor(read):
    assert read("a: &x {b: 1}\nc: *x\n").data == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize("indent", [None, 2, "\t"], ids=["one line", "spaces", "tabs"])
def test_json_is_read_like_yaml(read, indent):
    content = {"a": [1, 2.5, True, None], "b": {"c": 'quoted "\\/" \U0001f600 \u00e9'}}
    document = read(json.dumps(content, indent=indent), "job.json")
    assert document.data == content
    assert document.problems == []


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_a_file_with_nothing_in_it_holds_nothing(read, text):
    assert read(text).data is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # an open bracket, met at the end
        ("a: 1\nb: [1, 2\n", "job.yaml:3: not YAML: while parsing a flow sequence, expected ',' "
         "or ']', but got '<stream end>'; mend the syntax there"),
        # an open quote
        ('a: "x', "job.yaml:1: not YAML: while scanning a quoted scalar, found unexpected end of "
         "stream; mend the syntax there"),
        # a tab where YAML forbids it
        ("a:\n\tb: 1", "job.yaml:2: not YAML: while scanning for the next token, found character "
         "'\\t' that cannot start any token; mend the syntax there"),
        # an alias of nothing
        ("a: 1\nb: *nope", "job.yaml:2: not YAML: found undefined alias 'nope'; mend the syntax "
         "there"),
        # two documents
        ("a: 1\n---\nb: 2", "job.yaml:2: not YAML: expected a single document in the stream, but "
         "found another document; mend the syntax there"),
        # a value that holds itself
        ("a: &x [*x]", "job.yaml: not usable: an alias holds itself; write it out"),
        # brackets without end
        ("[" * 5000, "job.yaml: not usable: it is nested too deeply; flatten it"),
        # a control character
        ("a: \x01", 'job.yaml: not YAML: unacceptable character #x0001: special characters are '
         'not allowed in "<unicode string>", position 3; mend the syntax'),
    ],
)  # fmt: skip
def test_malformed_yaml_is_one_line_with_its_place(refusal, text, line):
    assert refusal(text) == line


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError) as caught:
        read_document(tmp_path / "job.yaml")
    assert str(caught.value) == (
        f"cannot read {tmp_path}/job.yaml: No such file or directory; give the path of a file"
    )


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(InputError, match=r"^cannot read .*: Is a directory; give the path"):
        read_document(tmp_path)


def test_a_file_that_is_not_text_is_one_line(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InputError, match=r"^cannot read .*: it is not UTF-8 text; give the path"):
        read_document(path)


def test_a_byte_order_mark_is_no_part_of_the_first_key(read):
    assert read("\ufeffa: 1\n").data == {"a": 1}


def test_problems_are_shown_in_the_files_order_and_none_twice(read):
    document = read("a:\n  b: 1\nc: 2\n")
    problems = [
        Problem(("c",), "late"),
        # no such key: shown where it should stand
        Problem(("a", "missing"), "gone"),
        Problem(("a", "b"), "early"),
        Problem(("c",), "late"),
        # of the whole file
        Problem((), "general"),
    ]
    assert document.render(problems) == [
        f"{document.path}:1: general",
        f"{document.path}:1: a.missing: gone",
        f"{document.path}:2: a.b: early",
        f"{document.path}:3: c: late",
    ]
