"""The documentation as a site: it builds, its links hold, and nothing in it is loaded from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

import simcelery
from pages import api, commands
from simcelery.cli.root import VERBS
from tests.programs import BIN
from tests.waiting import within

TOP = Path(__file__).parents[2]
# Tags whose address is loaded when the page is shown; a link is followed by people only.
LOADED = {"script", "img", "iframe", "link", "source", "video", "audio", "embed", "object", "use", "image"}
# What the theme's own script looks for to load a library from elsewhere.
WOULD_LOAD = {"mermaid", "glightbox", "pyodide"}


class Page(HTMLParser):
    """What a page loads, and what it is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.classes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.classes |= set(values.get("class", "").split())
        if tag in LOADED and values.get("rel") != "canonical":
            self.loads += [
                values[name] for name in ("src", "href", "srcset", "data", "xlink:href") if name in values
            ]


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    words = [str(BIN / "zensical"), "build", "--strict"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=within(60), check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sources, and `site` below it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(TOP / "docs", folder / "docs")
    shutil.copy(TOP / "zensical.toml", folder)
    (folder / "docs" / "commands.md").write_text(commands.page())
    (folder / "docs" / "api.md").write_text(api.page())
    built = build(folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_built_and_can_be_found(site: Path) -> None:
    navigation = (site / "zensical.toml").read_text()
    for page in (site / "docs").glob("*.md"):
        assert (site / "site" / f"{page.stem}.html").exists()
        assert f'"{page.name}"' in navigation


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list((site / "site").rglob("*.html"))
    assert len(pages) > 15
    for path in pages:
        page = Page(path.read_text())
        assert page.loads
        assert [url for url in page.loads if re.match(r"(\w+:)?//", url)] == [], path
        assert not page.classes & WOULD_LOAD, path
    for path in [*(site / "site").rglob("*.css"), *(site / "site").rglob("*.svg")]:
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", path.read_text()), path


def test_pictures_are_small_and_each_is_shown(site: Path) -> None:
    text = "".join(path.read_text() for path in (site / "docs").glob("*.md"))
    pictures = list((site / "docs" / "pictures").iterdir())
    assert 0 < sum(picture.stat().st_size for picture in pictures) < 2_000_000
    for picture in pictures:
        assert picture.stat().st_size < (20_000 if picture.suffix == ".svg" else 100_000)
        assert f"](pictures/{picture.name})" in text


def test_a_broken_link_is_an_error(site: Path, tmp_path: Path) -> None:
    for name in ("docs", "zensical.toml"):
        copy = shutil.copytree if name == "docs" else shutil.copy
        copy(site / name, tmp_path / name)
    with (tmp_path / "docs" / "index.md").open("a") as page:
        page.write("\n[nowhere](nowhere.md), [no such part](howto.md#no-such-part)\n")
    built = build(tmp_path)
    assert built.returncode != 0
    assert "2 issues found" in built.stderr


def test_the_reference_has_every_command_and_every_public_name() -> None:
    page = commands.page()
    for verb in VERBS:
        assert f"### simcelery {verb}\n\n```text\nUsage: simcelery {verb}" in page
    assert "### simcelery db upgrade\n" in page
    page = api.page()
    for name in simcelery.__all__:
        assert f"### {name}\n" in page
    assert "wait(timeout: float | None = None) -> State" in page
    assert "- `timeout`: seconds; None waits forever." in page
    assert "#### Worker.end" not in page
