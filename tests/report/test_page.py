"""The HTML page: what stands on it, and that nothing from outside becomes part of it."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rightsizer.analysis.figures import Doubt
from rightsizer.analysis.history import StepHistory
from rightsizer.bottlenecks import Bottleneck
from rightsizer.documents import parse_document
from rightsizer.errors import TrialState
from rightsizer.fleets import Price
from rightsizer.histories import TrialHistory
from rightsizer.report.page.html import job_html
from rightsizer.report.page.repeat import spec_yaml
from rightsizer.report.sentence import finding
from rightsizer.results import Job, Origin
from rightsizer.spec import JobSpec, parse_spec

from tests.report.hostile import HOSTILE, poisoned
from tests.report.jobs import demo_trials, failed, make_job, measured, over_limit, variables
from tests.report.pages import histories_for, sweep

ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "section", "h1", "h2", "h3",
    "p", "div", "table", "tr", "th", "td", "figure", "figcaption", "details", "summary", "ul", "li",
    "dl", "dt", "dd", "code", "pre", "span",
    "svg", "text", "line", "polyline", "polygon", "circle", "rect",
}  # fmt: skip
WRITTEN = "2026-01-02T03:04:05+00:00"
SECTIONS = [
    "decision", "ranking", "cost", "load", "time", "effects", "doubts", "rejected", "words",
    "repeat",
]  # fmt: skip


class Page(HTMLParser):
    """Elements with their attributes, and the text of each section."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._parts: dict[str, list[str]] = {}
        self._section = "head"
        self.feed(text)
        self.text = {section: "".join(parts) for section, parts in self._parts.items()}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self._section = str(dict(attrs)["id"])

    def handle_data(self, data: str) -> None:
        self._parts.setdefault(self._section, []).append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def page_of(job: Job, histories: dict[str, TrialHistory] | None = None) -> Page:
    return Page(job_html(job, histories or {}, WRITTEN))


@pytest.fixture(scope="module")
def demo() -> Page:
    return page_of(make_job())


def test_the_sections_stand_in_the_order_of_the_questions(demo):
    assert [attrs["id"] for tag, attrs in demo.elements if tag == "section"] == SECTIONS


def test_the_decision_comes_first_and_in_the_words_of_the_command_line(demo):
    assert finding(make_job()) in demo.text["decision"]


def test_the_table_has_every_figure_of_a_row_with_its_evidence(demo):
    job = make_job((replace(measured(1, variables("1", "1"), 834.2, 212.4)),))
    told = page_of(job).text["ranking"].splitlines()
    for figure in (
        "local.1cpu", "OMP_NUM_THREADS=1", "native", "834", "801 to 868", "36 % busy at the target",
        "closed", "estimate", "1 start", "P95 212 ms", "no interval", "$0.01699", "$12.40 a month",
        "price: cost model", "$3.394e-07", "$3.263e-07 to $3.535e-07", "$9.437e-07 at the target",
    ):  # fmt: skip
        assert any(figure in line for line in told), figure
    assert demo.text["ranking"].count("local.1cpu") == 3


def test_a_chart_stands_beside_a_table_of_its_figures(demo):
    charts = sum(tag == "svg" and attrs.get("role") == "img" for tag, attrs in demo.elements)
    assert charts == demo.count("figure") == 6  # cost, two of load and three of one, effects
    assert all(
        attrs.get("aria-label") for tag, attrs in demo.elements if attrs.get("role") == "img"
    )
    for section in ("cost", "load", "effects"):
        assert "Figures" in demo.text[section]


def test_curves_have_the_limit_and_show_no_step_that_was_invalid(demo):
    assert "limit 250" in demo.text["load"]
    trial = measured(1, {}, 500.0)
    spoilt = replace(trial.steps[0], verdict="invalid", latency_ms=987.6, p95_ms=987.6)
    page = page_of(make_job((replace(trial, steps=(spoilt, *trial.steps[1:])),)))
    assert "invalid" in page.text["load"]
    assert "988" not in page.text["load"]


def test_a_curve_never_mixes_the_two_kinds_of_traffic():
    trial = measured(1, {}, 500.0)
    other = replace(trial.steps[0], mode="open", label="9.25/s", rate_per_s=9.25)
    mixed = make_job((replace(trial, steps=(*trial.steps, other)),))
    assert _dots(mixed) == _dots(make_job((trial,)))
    assert "9.25/s" in page_of(mixed).text["load"]
    assert "Drawn are closed steps" in page_of(mixed).text["load"]


def test_what_runs_out_first_is_told_beside_the_effects():
    job = make_job()
    evidence = "CPUs 98 % busy where more users brought nothing more (2 users)"
    best = replace(job.recommendations[0], bottleneck=Bottleneck("cpu-bound", evidence))
    told = page_of(replace(job, recommendations=(best,))).text["effects"]
    assert "What runs out first" in told
    assert f"cpu-bound: {evidence}" in told


def test_a_rows_bottleneck_stands_in_the_ranked_table(demo):
    assert "Bottleneck" in demo.text["ranking"]
    assert demo.text["ranking"].count("cpu-bound") == 3


def _dots(job: Job) -> int:
    return job_html(job, {}, WRITTEN).count(' dot"')


def test_doubts_stand_by_severity_with_figures_rows_and_next_steps():
    weak = Doubt("shaky", "weakens", "it shook", "hold it", {"shakes": 12.345})
    grave = Doubt("broken", "blocks", "it broke")
    told = page_of(make_job(job_doubts=(weak, grave))).text["doubts"]
    order = ("Blocks", "broken the job", "Weakens", "shaky the job", "Notes", "loopback every row")
    places = [told.index(words) for words in order]
    assert places == sorted(places)
    assert "it shook (shakes 12.3)" in told
    assert "Next: hold it" in told


def test_a_doubt_with_other_figures_in_each_row_tells_each():
    trials = [
        measured(n, variables(str(n), "0"), 500.0 + n, doubts=(_counted(n),)) for n in range(3)
    ]
    told = page_of(make_job(tuple(trials))).text["doubts"]
    assert "row 1: counted" in told
    assert all(f"counted {n}" in told for n in range(3))


def _counted(number: int) -> Doubt:
    return Doubt("counted", "note", f"counted {number}", "", {"number": float(number)})


def test_rejected_candidates_have_reason_detail_and_last_words(demo):
    for words in ("crashed", "signal SIGSEGV", "fatal: boom", "OMP_NUM_THREADS=2"):
        assert words in demo.text["rejected"]
    assert "\x1b" not in demo.text["rejected"]


def test_a_step_over_time_is_drawn_and_tabled():
    job = make_job()
    page = page_of(job, histories_for(job, steps=3))
    assert "Throughput" in page.text["time"]
    assert "40.5/s" in page.text["time"]
    assert page.text["time"].count("trial ") >= 3


def test_lost_samples_are_told_and_the_page_is_made():
    job = make_job()
    gone = {job.trials[0].id: TrialHistory((), "samples-0.bin: No such file or directory")}
    told = page_of(job, gone).text["time"]
    assert "its samples are not there any more: samples-0.bin: No such file" in told


def test_a_step_that_took_no_time_is_no_chart():
    job = make_job()
    empty = {job.trials[0].id: TrialHistory((StepHistory("1 user", 0.0, 0.0, 0.0, ()),))}
    assert "No step of it took any time" in page_of(job, empty).text["time"]


def test_a_job_that_runs_is_said_to():
    told = page_of(make_job(status="running"))
    assert "The job has not ended" in told.text["head"]
    assert "The job is still running" in told.text["decision"]
    assert "The job has not ended" not in page_of(make_job()).text["head"]


@pytest.mark.parametrize(
    "trials",
    [
        (),
        (failed(1, variables("1", "0")),),
        (failed(1, {}, TrialState.RUNNING),),
        (over_limit(1, variables("1", "0")),),
    ],
)
def test_without_a_recommendation_the_page_says_why(trials):
    job = make_job(trials)
    page = page_of(job)
    assert finding(job).split(";")[0][:30] in page.text["decision"]
    assert "There are none." in page.text["ranking"]
    assert "nothing to draw" in page.text["cost"]


def test_without_prices_there_is_a_page_without_costs():
    page = page_of(make_job(price=Price(None, "")))
    assert "nothing to draw" in page.text["cost"]
    assert "no price" in page.text["ranking"]


def test_what_is_needed_to_repeat_it_is_there():
    origin = Origin(
        "/home/me/job.yaml",
        {"payload": "ab" * 32, "image web:1 of rack": "sha256:cd"},
        {"rightsizer": "0.1.0", "locust": "2.40.1"},
        {"processor": "EPYC 7B13"},
    )
    told = page_of(replace(make_job(), origin=origin)).text["repeat"]
    for words in (
        "/home/me/job.yaml", "sha256 of payload", "ab" * 32, "id of image web:1 of rack",
        "sha256:cd", "version of locust", "2.40.1", "EPYC 7B13", "Server's CPUs", "seed",
    ):  # fmt: skip
        assert words in told


def test_the_spec_on_the_page_is_the_job_file_that_was_run():
    from ruamel.yaml import YAML

    spec = JobSpec.model_validate(
        {
            "name": "x",
            "server": {"command": ["serve", "{port}"], "environment": {"A": "1", "B": "yes"}},
            "payload": {"archive": "b.txt", "seed": 7},
            "candidates": [{"instance_type": "local.1cpu", "environment": {"N": ["1", "on"]}}],
            "limit": {"latency_ms": 12.5},
        }
    )
    text = spec_yaml(replace(make_job(), spec=spec.model_dump(mode="json")))
    assert JobSpec.model_validate(YAML(typ="safe").load(text)) == spec


def test_the_value_of_a_secret_header_stays_off_the_page():
    headers = {"Authorization": "Bearer hunter2", "Accept": "*/*"}
    spec = {**make_job().spec, "server": {"request": {"headers": headers}}}
    text = job_html(replace(make_job(), spec=spec), {}, WRITTEN)
    assert "hunter2" not in text
    assert "Authorization" in text
    assert "*/*" in text


def test_fixed_variables_whose_names_say_secret_and_queries_stay_off_the_page():
    job = make_job()
    server = {"environment": {"API_KEY": "hunter2"}, "request": {"path": "/v1?sig=hunter2"}}
    candidates = [{"instance_type": "a", "environment": {"MAX_TOKENS": ["41", "42"]}}]
    spec = {**job.spec, "server": server, "candidates": candidates}
    text = job_html(replace(job, spec=spec), {}, WRITTEN)
    assert "hunter2" not in text
    # What a job compares must be told apart on its page.
    for shown in ("API_KEY", "/v1?***", "MAX_TOKENS", "41", "42"):
        assert shown in text


def test_the_spec_of_a_default_job_is_the_advanced_one_that_measures_what_was_chosen():
    spec = JobSpec.model_validate(
        {
            "name": "x",
            "type": "default",
            "server": {"command": ["serve", "{port}"], "knobs": "k.yaml"},
            "payload": {"archive": "b.txt"},
            "candidates": [{"instance_type": "local.1cpu", "environment": {"N": ["1"]}}],
        }
    )
    text = spec_yaml(replace(make_job(), spec=spec.model_dump(mode="json")))
    read = parse_spec(parse_document(Path("job.yaml"), text))
    assert (read.type, read.candidates) == ("advanced", spec.candidates)


def test_a_spec_with_a_long_trace_is_cut_and_said_to_be():
    spec = {**make_job().spec, "traffic": {"type": "rate", "times_s": [0.125] * 100_000}}
    text = spec_yaml(replace(make_job(), spec=spec))
    assert len(text) < 20_000
    assert "# a list of 100000 was cut" in text


def test_nothing_from_outside_becomes_markup():
    job = poisoned(make_job(demo_trials(), job_doubts=make_job().recommendations[0].doubts))
    histories = {
        trial.id: TrialHistory((replace(_step(), label=HOSTILE),), HOSTILE) for trial in job.trials
    }
    text = job_html(job, histories, WRITTEN)
    page = Page(text)
    assert text.count("alert(1)") > 100  # it is there, as words
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    attributes = {name for _, attrs in page.elements for name in attrs}
    assert not {name for name in attributes if name.startswith("on")}
    assert not attributes & {"href", "src", "srcset", "style", "action", "data"}
    assert text.count("{{7*7}}") == text.count("alert(1)") / 2  # nor is it a template
    assert "\x1b" not in text


def _step() -> StepHistory:
    return next(iter(histories_for(make_job(), steps=1).values())).steps[0]


def test_every_kind_of_text_of_a_job_was_poisoned_in_that_test():
    page = page_of(poisoned(make_job()))
    for section in set(SECTIONS) - {"words", "time"}:
        assert "<script>alert(1)</script>" in page.text[section], section


def test_the_policy_lets_in_the_pages_own_style_alone(demo):
    text = job_html(make_job(), {}, WRITTEN)
    [policy] = [a["content"] for t, a in demo.elements if t == "meta" and "http-equiv" in a]
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "unsafe" not in policy
    assert "@import" not in style
    assert "url(" not in style


def test_forty_candidates_with_all_their_samples_stay_under_two_megabytes():
    job = sweep(40)
    assert len(job.recommendations) == 40
    size = len(job_html(job, histories_for(job), WRITTEN).encode())
    assert 500_000 < size < 2_000_000


def test_the_page_of_a_job_is_the_same_but_for_its_date():
    first, second = (
        re.sub(r"this page \S+", "", job_html(make_job(), {}, WRITTEN)) for _ in range(2)
    )
    assert first == second
