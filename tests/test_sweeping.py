"""Which settings of a knobs file are measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from rightsizer.documents import parse_document
from rightsizer.errors import ProblemsError
from rightsizer.knob_reading import parse_knobs
from rightsizer.knobs import Knobs, Size
from rightsizer.sweeping import Design, design

WORKERS = """\
knobs:
- {name: W, meaning: workers, values: [1, "max(1, cores // 2)", cores], default: 1}
- {name: T, meaning: threads, values: [cores, "max(1, cores // 2)", 1], default: 1}
- {name: K, meaning: kernels, texts: [new, old], default: old}
- {name: B, meaning: batching, texts: ["no", "yes"], default: "no"}
- {name: S, meaning: size, values: [8, 32], default: 8, only_with: {B: "yes"}}
require: ["W * T <= cores"]
"""


def knobs(text: str = WORKERS) -> Knobs:
    return parse_knobs(parse_document(Path("knobs.yaml"), text))


def made(room: int, *cores: int, fixed: dict | None = None, text: str = WORKERS) -> Design:
    sizes = {f"local.{n}cpu": Size(n, n, 4.0) for n in cores or (4,)}
    return design(knobs(text), sizes, fixed or {}, room)


def words(found: Design, name: str = "local.4cpu") -> list[str]:
    return [" ".join(f"{k}{v}" for k, v in s.items()) for s in found.settings[name]]


def test_the_grid_begins_with_the_settings_that_use_every_core_once():
    found = made(100)
    # 6 of 9 of workers and threads fit on 4 cores; batching off, or on in two sizes
    assert (found.kind, len(found.settings["local.4cpu"]), found.left_out) == ("grid", 36, 0)
    assert words(found)[0] == "W1 T4 Knew Bno"
    assert found.cut == ()
    assert found.groups == (("W", "T"), ("K",), ("B", "S"))


def test_without_room_for_the_grid_groups_that_interact_vary_one_at_a_time():
    found = made(12)
    assert found.kind == "screening"
    assert words(found) == [
        "W1 T4 Knew Bno",
        "W1 T1 Knew Bno",  # the server's own come second
        "W1 T4 Kold Bno",
        "W1 T4 Knew Byes S8",
        "W2 T2 Knew Bno",
        "W1 T4 Knew Byes S32",
        "W4 T1 Knew Bno",
        "W1 T2 Knew Bno",
        "W2 T1 Knew Bno",
    ]
    assert found.left_out == 36 - 9
    assert found.cut == ()


def test_with_less_room_the_first_of_each_type_in_turn_and_what_is_cut_is_named():
    found = made(5, 1, 4)
    assert found.kind == "part"
    assert {name: len(settings) for name, settings in found.settings.items()} == {
        "local.1cpu": 3,
        "local.4cpu": 2,
    }
    assert found.left_out == (6 + 36) - 5
    assert found.cut == ("W", "T", "K", "B", "S")


def test_every_type_gets_one_whatever_the_room():
    assert sum(map(len, made(1, 1, 2, 4).settings.values())) == 3


def test_values_that_come_to_the_same_are_one():
    assert words(made(100, 1), "local.1cpu") == [
        "W1 T1 Knew Bno",
        "W1 T1 Knew Byes S8",
        "W1 T1 Kold Bno",
        "W1 T1 Knew Byes S32",
        "W1 T1 Kold Byes S8",
        "W1 T1 Kold Byes S32",
    ]


def test_the_same_input_gives_the_same_settings_in_the_same_order():
    assert made(7, 1, 2, 4) == made(7, 1, 2, 4)


def test_a_variable_that_the_job_sets_is_not_swept_but_still_counts():
    found = made(100, fixed={"W": "2"})
    assert {setting.get("W") for setting in found.settings["local.4cpu"]} == {None}
    assert {setting["T"] for setting in found.settings["local.4cpu"]} == {"2", "1"}


def test_what_needs_another_value_than_the_job_sets_is_not_set_at_all():
    found = made(100, fixed={"B": "no"})
    assert all("S" not in setting for setting in found.settings["local.4cpu"])
    found = made(100, fixed={"B": "yes"})
    assert all("S" in setting for setting in found.settings["local.4cpu"])


def test_a_type_on_which_nothing_meets_what_is_required_is_left_out_and_named():
    text = WORKERS.replace("values: [cores, ", "values: [2, cores, ").replace(
        "W * T <= cores", "2 <= W * T <= cores"
    )
    found = made(100, 1, 4, text=text)
    assert found.impossible == ("local.1cpu",)


def unmet(text: str, *cores: int, fixed: dict | None = None) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        made(100, *cores, fixed=fixed, text=text)
    return list(caught.value.problems)


FOUR = """\
knobs:
- {name: A, meaning: a, values: [4, 8]}
- {name: B, meaning: b, values: [4]}
- {name: C, meaning: c, values: [1, 2, 3]}
require:
"""


def test_a_requirement_that_is_never_met_is_named_with_its_line_and_the_types_size():
    assert unmet(FOUR + "- A * B <= cores\n- C <= 2\n", 1) == [
        "knobs.yaml:6: require[0]: A * B <= cores is never met on local.1cpu (1 core); "
        "add a smaller value of A or B"
    ]


def test_all_requirements_that_are_never_met_are_told_at_once():
    assert unmet(FOUR + "- A * B <= cores\n- cpus < C\n- A - B > 9\n", 3, 4) == [
        "knobs.yaml:6: require[0]: A * B <= cores is never met on local.3cpu (3 cores), "
        "local.4cpu (4 cores); add a smaller value of A or B",
        "knobs.yaml:7: require[1]: cpus < C is never met on local.3cpu (3 vCPUs), "
        "local.4cpu (4 vCPUs); add a larger value of C",
        "knobs.yaml:8: require[2]: A - B > 9 is never met; add values that meet it, or mend it",
    ]


def test_requirements_that_are_met_alone_and_never_together_are_named_without_the_others():
    assert unmet(FOUR + "- A + C < 20\n- C > 1\n- A > B\n- A - cores < 9\n- C < 2\n", 4) == [
        "knobs.yaml:7: require[1]: C > 1 and C < 2 can each be met, but never together; "
        "add values that meet them all, or mend one"
    ]
    [said] = unmet(FOUR + "- A * C <= cores * 4\n- A > B\n- C > 1\n", 3)
    assert "A * C <= cores * 4, A > B and C > 1 can each be met" in said
    assert "never together on local.3cpu (3 cores)" in said


def test_several_contradictions_are_told_at_once():
    said = unmet(FOUR + "- C > 1\n- C < 2\n- A < 8\n- A > 4\n- B > 4\n", 4)
    assert [line.split(" can ")[0].split(" is ")[0] for line in said] == [
        "knobs.yaml:10: require[4]: B > 4",
        "knobs.yaml:6: require[0]: C > 1 and C < 2",
        "knobs.yaml:8: require[2]: A < 8 and A > 4",
    ]


def test_types_may_lack_a_combination_for_different_reasons():
    assert unmet(FOUR + "- A <= cores\n- A * C >= 4 * cores\n", 1, 4) == [
        "knobs.yaml:6: require[0]: A <= cores is never met on local.1cpu (1 core); "
        "add a smaller value of A",
        "knobs.yaml:6: require[0]: A <= cores and A * C >= 4 * cores can each be met, but never "
        "together on local.4cpu (4 cores); add values that meet them all, or mend one",
    ]


def test_variables_that_the_job_sets_are_told_where_they_are_what_cannot_be_met():
    assert unmet(FOUR + "- A * B <= cores\n", 1, fixed={"A": "2", "B": "2"}) == [
        "knobs.yaml:6: require[0]: A * B <= cores is never met on local.1cpu (1 core, A=2, B=2); "
        "change server.environment, or mend it"
    ]
    assert unmet(FOUR + "- A * B <= cores\n", 2, fixed={"A": "1"}) == [
        "knobs.yaml:6: require[0]: A * B <= cores is never met on local.2cpu (2 cores, A=1); "
        "add a smaller value of B"
    ]


def test_numbers_that_cannot_be_worked_out_are_told():
    text = (
        "knobs: [{name: A, meaning: a, values: ['4 // accelerators']},"
        " {name: B, meaning: b, values: [memory_gib * 0.1]}]"
    )
    with pytest.raises(ProblemsError, match=r"B: memory_gib \* 0.1 comes to 0.4, no whole number"):
        made(9, text=text)
    with pytest.raises(ProblemsError, match=r"A: a division by 0 with cores 4, .*accelerators 0"):
        made(9, text=text)
    with pytest.raises(ProblemsError, match=r"server\.environment\.W must be a number"):
        made(9, fixed={"W": "auto"})


def test_too_many_combinations_are_refused_before_they_are_made():
    many = ", ".join(map(str, range(16)))
    listed = [f"{{name: K{i}, meaning: k, values: [{many}], interacts_with: [K0]}}" for i in "1234"]
    text = f"knobs: [{{name: K0, meaning: k, values: [{many}]}}, {', '.join(listed)}]"
    with pytest.raises(ProblemsError, match="1048576 combinations; list fewer"):
        made(9, text=text)


def test_a_large_grid_is_counted_and_never_made():
    many = ", ".join(map(str, range(16)))
    listed = [f"{{name: K{i}, meaning: k, values: [{many}]}}" for i in range(32)]
    found = made(24, text=f"knobs: [{', '.join(listed)}]")
    assert (len(found.settings["local.4cpu"]), found.left_out) == (24, 16**32 - 24)


def test_without_knobs_instance_types_alone_are_compared():
    found = design(None, {"a": Size(1, 1, 1.0)}, {}, 9)
    assert (found.kind, found.settings) == ("none", {"a": ({},)})


def test_what_is_required_of_fixed_variables_alone_is_tested_on_each_type():
    fixed = {"W": "2", "T": "2"}
    assert made(100, 2, 4, fixed=fixed).impossible == ("local.2cpu",)


def test_a_value_of_the_types_size_is_whole_and_a_plain_fraction_is_taken_as_it_is():
    text = "knobs: [{name: M, meaning: memory, values: [MEMORY]}]"
    half = {"a": Size(1, 1, 1.5)}
    whole = design(knobs(text.replace("MEMORY", "memory_gib * 3 // 1")), half, {}, 9)
    assert whole.settings["a"] == ({"M": "4"},)
    assert design(knobs(text.replace("MEMORY", "0.5")), half, {}, 9).settings["a"] == (
        {"M": "0.5"},
    )
    with pytest.raises(ProblemsError, match=r"M: memory_gib \* 3 comes to 4.5, no whole number"):
        design(knobs(text.replace("MEMORY", "memory_gib * 3")), half, {}, 9)
