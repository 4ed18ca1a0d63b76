"""The page as a browser shows it: at its widths, without a script, without a request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rightsizer.report.page.html import job_html

from tests.browser import NAMES, Browser, browsing, installed
from tests.report.hostile import poisoned
from tests.report.jobs import make_job
from tests.report.pages import histories_for, sweep

pytestmark = [pytest.mark.browser, pytest.mark.shared_cpus]

PHONE, DESKTOP = 390, 1280


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = installed()
    if program is None:
        pytest.skip(f"no browser here: none of {', '.join(NAMES)}")
    with browsing(program, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    job = sweep(6)
    text = job_html(job, histories_for(job, steps=40), "now")
    path.write_text(text.replace("<details>", "<details open>"))
    return path


def overflow(browser: Browser) -> list[str]:
    """What of the page reaches beyond the window, outside the boxes that scroll."""
    return list(
        browser.evaluate(
            "[...document.querySelectorAll('body *')].filter(e =>"
            " e.getBoundingClientRect().right > document.documentElement.clientWidth + 1"
            " && !e.closest('.scroll')).map(e => e.outerHTML.slice(0, 120))"
        )
    )


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_nothing_but_the_scrolling_boxes_is_wider_than_the_window(browser, page, width):
    browser.open(page, width)
    assert browser.evaluate("window.innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert overflow(browser) == []
    # The check can see: a table is wider than a phone, and scrolls in its box.
    inside = "document.querySelector('#ranking .scroll')"
    scrolls = browser.evaluate(f"{inside}.scrollWidth > {inside}.clientWidth")
    assert scrolls is (True if width == PHONE else scrolls)


def test_it_asks_for_nothing_but_itself_and_the_console_stays_silent(browser, page):
    browser.open(page, DESKTOP)
    assert browser.requested() == [page.as_uri()]
    assert browser.complaints() == []
    # Its style was let in by the page's own policy.
    assert browser.evaluate("getComputedStyle(document.body).maxWidth") == "1344px"


def test_the_watch_for_requests_and_complaints_sees_them(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='file:///none.png'><script>console.log('x')</script>")
    browser.open(bad, DESKTOP)
    assert len(browser.requested()) == 2
    assert browser.complaints()


def test_hostile_names_run_no_script_and_fetch_nothing(browser, tmp_path):
    hostile = tmp_path / "hostile.html"
    hostile.write_text(job_html(poisoned(make_job()), {}, "now"))
    browser.open(hostile, PHONE)
    assert browser.requested() == [hostile.as_uri()]
    assert browser.complaints() == []
    assert browser.evaluate("document.querySelectorAll('script, img, iframe, a').length") == 0
    assert overflow(browser) == []


def test_a_script_that_got_in_would_be_refused_by_the_pages_policy(browser, page, tmp_path):
    broken = tmp_path / "broken.html"
    script = "<script>document.title = 'ran'</script><img src='http://127.0.0.1:9/x.png'></main>"
    broken.write_text(page.read_text().replace("</main>", script))
    browser.open(broken, DESKTOP)
    assert browser.evaluate("document.title") != "ran"
    assert any("Content Security Policy" in said for said in browser.complaints())


def test_what_is_folded_away_is_printed(browser, tmp_path):
    folded = tmp_path / "folded.html"
    folded.write_text(job_html(make_job(), {}, "now"))
    visible = "document.querySelector('#load details figure').checkVisibility()"
    browser.open(folded, DESKTOP)
    assert browser.evaluate(visible) is False
    browser.open(folded, DESKTOP, media="print")
    assert browser.evaluate(visible) is True
