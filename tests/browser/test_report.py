"""The report of a finished study, opened in a browser: nothing breaks, nothing is missing, nothing is fetched."""

import shutil
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.browser

PROBLEM = "Nonlinear Schrödinger equation, 1D"


@pytest.fixture(scope="module")
def chromium():
    """Path of a browser; skip where there is none."""
    pytest.importorskip("playwright", reason="playwright is not installed; it comes with the extra dev")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine; make test-browser installs one")
    return found


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory):
    """The report of the tiny study as a file far from the results, which it must not need."""
    made = tmp_path_factory.mktemp("report") / "report.html"
    finished.run("--report", str(made))
    return made


@pytest.fixture(scope="module")
def browser(chromium):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser, report):
    """The report just opened. Whatever it complains about or asks the network for fails the test at its end."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(20_000)
    complaints = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url[:200]}"))
    page.on("request", lambda r: complaints.append(r.url[:200]) if r.url.startswith(("http:", "https:")) else None)
    page.goto(report.as_uri())
    page.get_by_text(PROBLEM).wait_for()
    yield page
    page.close()
    assert complaints == []


def entries(page):
    """Rows of the list that the menu shows, first cell -> row."""
    page.locator("tbody tr").first.wait_for()
    return {row.locator("td").first.inner_text(): row for row in page.locator("tbody tr").all()}


@contextmanager
def opened(page, row):
    """The page that the first button of a row opens, all its pictures loaded."""
    row.locator("a").first.click()
    frame = page.frame_locator("iframe")
    frame.locator("h1").wait_for()
    for image in frame.locator("img").all():
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.naturalWidth") > 0
    yield frame


def test_every_figure_of_a_problem_has_caption_numbers_and_provenance(page):
    page.get_by_text(PROBLEM).click()
    page.get_by_text("Figures", exact=True).click()
    figures = entries(page)
    assert list(figures) == ["fig_cost", "fig_predictions", "fig_rank", "fig_samples", "fig_speed"]
    for name, row in figures.items():
        with opened(page, row) as card:
            assert card.locator("img").count() == 1
            assert card.locator("p").inner_text() == "A test."
            text = card.locator("body").inner_text()
            assert "Provenance" in text
            assert '"beta": 10.0' in text
            assert text.count("sha256:") >= 3
            assert ("Numbers" in text) == (name != "fig_predictions")


def test_the_numbers_on_a_page_are_those_of_the_table(page, finished):
    import pandas as pd

    table = pd.read_csv(finished.folder / "results/quick/tables/fig_rank.csv")
    page.get_by_text(PROBLEM).click()
    page.get_by_text("Figures", exact=True).click()
    with opened(page, entries(page)["fig_rank"]) as card:
        cells = card.locator("table").first.locator("tbody tr").all_inner_texts()
    assert len(cells) == len(table)
    assert f"{table['test_mean'][0]:.3g}" in cells[0]


def test_a_figure_s_caption_is_beside_it(page):
    page.get_by_text(PROBLEM).click()
    page.get_by_text("Figures", exact=True).click()
    entries(page)["fig_rank"].locator("a").nth(1).click()
    page.get_by_text("A test.", exact=True).wait_for()


@pytest.mark.parametrize(
    ("category", "said"), [("Summary", "MNN-H²"), ("Claims of the paper", "Errors fall with samples.")]
)
def test_summary_and_claims_can_be_read(page, category, said):
    page.get_by_text(category).click()
    (row,) = entries(page).values()
    with opened(page, row) as card:
        assert said in card.locator("table").inner_text()
