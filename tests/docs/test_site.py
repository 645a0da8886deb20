"""The documentation site: built without a warning, whole, and in need of no other server."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="the site needs the extra [docs], which `make docs` installs")

import mnn
import solvers

ROOT = Path(__file__).resolve().parents[2]
LOADED = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "use": "href",
}
"""Elements that make a browser load something, and the attribute that says what."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; gallery scripts that ran before and have not changed do not run again."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert re.findall(r"^(?:WARNING|ERROR).*", done.stderr, re.MULTILINE) == []
    assert done.returncode == 0, done.stderr
    return folder


class Loads(HTMLParser):
    """Addresses that a page has its browser load."""

    def __init__(self, page: Path):
        super().__init__()
        self.found = []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag in LOADED and LOADED[tag] in values:
            self.found.append(values[LOADED[tag]])


def test_nothing_is_loaded_from_another_server(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    loads = {address for page in pages for address in Loads(page).found}
    assert any(address.endswith(".js") for address in loads)
    assert [address for address in loads if re.match(r"(\w+:)?//", address)] == []
    styles = " ".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"url\(['\"]?(?:https?:)?//[^)]*\)|@import[^;]*", styles) == []


def test_formulas_are_mathml(site):
    text = (site / "idea.html").read_text()
    assert text.count("<math") > 20
    assert "\\(" not in text
    assert "arithmatex" not in text


PUBLIC = {
    "mnn": {*mnn.__all__, "from_kernel", "H2Matrix", "__call__"} - {"h2matrix"},
    "solvers": {*solvers.__all__, "Wells", "draw", "synthesise", "read"},
}
"""Names on each page of the API; of a module, what is in it."""


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_on_the_pages_of_the_api(site, package):
    text = (site / f"api/{package}.html").read_text()
    anchors = {anchor.rpartition(".")[2] for anchor in re.findall(r'<h\d id="([\w.]+)"', text)}
    assert PUBLIC[package] - anchors == set()
    assert not re.search(r":\w+:<", text), "a reference that is not a link"


def test_gallery_pages_show_what_their_scripts_drew(site):
    for script in (ROOT / "examples/gallery").glob("*.py"):
        text = (site / f"generated/gallery/{script.stem}.html").read_text()
        images = re.findall(r'<img[^>]* src="([^"]+mkd_glr_[^"]+)"', text)
        assert images, script.name
        assert all((site / "generated/gallery" / image).is_file() for image in images)
