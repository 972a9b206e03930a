"""The page in a headless Chromium, on a wide and on a narrow screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from toy_boards import make_board, stub_pictures

from hashbench.boards.page import write_page

pytestmark = pytest.mark.skipif(not chromium.PROGRAM, reason="there is no Chromium here; install Debian's chromium")

WIDTHS = pytest.mark.parametrize("width", [1400, 390])
ROWS = "[...document.querySelectorAll('tr.row:not([hidden])')].filter(row => row.offsetParent)"
NAMES = f"{ROWS}.map(row => row.querySelector('th').dataset.value)"
FOCUS = "document.activeElement"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("leaderboards")
    stub_pictures(make_board(out))
    make_board(out, "fashion-mnist", whole=False, bits=32)
    return write_page(out)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    with chromium.chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def page(tab: chromium.Page, file: Path, width: int) -> Iterator[chromium.Page]:
    """The loaded page; whatever a test does, nothing may be complained of or asked from the network."""
    tab.open(file, width)
    yield tab
    assert tab.complaints == []
    assert tab.requests == [file.as_uri()]


def choose(page: chromium.Page, name: str, value: str) -> None:
    page.run(
        f"(s => {{ s.value = '{value}'; s.dispatchEvent(new Event('change', {{bubbles: true}})); }})"
        f"(document.querySelector('[data-filter={name}]'))"
    )


def sort(page: chromium.Page, title: str) -> list[str]:
    """Click a header of the first table; the names of its rows then."""
    page.run(f"[...document.querySelectorAll('.sort')].find(b => b.textContent === '{title}').click()")
    names: list[str] = page.run(NAMES)
    return names[:6]


@WIDTHS
def test_the_page_fits_the_window(page: chromium.Page, width: int) -> None:
    assert page.run("document.documentElement.scrollWidth") <= width
    page.run("document.querySelectorAll('.open').forEach(button => button.click())")
    assert page.run("document.documentElement.scrollWidth") <= width
    for table in page.run("[...document.querySelectorAll('.board > .scroll')].map(s => s.scrollWidth - s.clientWidth)"):
        assert table <= 1


@WIDTHS
def test_sorting_keeps_empty_values_last_and_says_its_direction(page: chromium.Page, width: int) -> None:
    saat = "saat:learning_rate=0.02,weight=3"
    assert sort(page, "worst case") == ["bit-depth", "cgat", saat, "mine", "none", "broken"]
    assert sort(page, "worst case") == ["none", "mine", saat, "cgat", "bit-depth", "broken"]
    assert page.run("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "ascending"
    assert sort(page, "defense") == ["bit-depth", "broken", "cgat", "mine", "none", saat]
    assert page.run("document.querySelectorAll('th[aria-sort]').length") == 1
    assert sort(page, "rank group")[:3] == ["cgat", saat, "mine"]


@WIDTHS
def test_filters_leave_what_fits_and_say_how_many(page: chromium.Page, width: int) -> None:
    assert page.run(f"{ROWS}.length") == 12
    choose(page, "dataset", "digits")
    assert page.run("document.querySelector('output').textContent") == "6 rows"
    choose(page, "set", "standard-1")
    assert page.run(NAMES) == ["cgat", "saat:learning_rate=0.02,weight=3", "mine"]
    choose(page, "bits", "32")
    assert page.run(f"{ROWS}.length") == 0
    assert page.run("document.querySelector('.empty').offsetParent !== null")
    page.run("document.querySelector('[type=reset]').click()")
    page.wait(f"{ROWS}.length === 12")
    page.run("document.querySelector('[data-ranked]').click()")
    assert page.run(f"{ROWS}.length") == 3


@WIDTHS
def test_a_row_opens_by_keyboard_to_its_details(page: chromium.Page, width: int) -> None:
    for _ in range(40):
        page.press("Tab")
        if page.run(f"{FOCUS}.matches('.open')"):
            break
    assert page.run(f"{FOCUS}.textContent") == "bit-depth"
    page.press("ArrowDown")
    assert page.run(f"{FOCUS}.textContent") == "cgat"
    page.press("Enter")
    assert page.run(f"{FOCUS}.getAttribute('aria-expanded')") == "true"
    detail = f"document.getElementById({FOCUS}.getAttribute('aria-controls'))"
    shown = page.run(f"{detail}.innerText")
    for words in ("Worst case and intervals", "Provenance", "--defense cgat --attack dhta", "pgd-hamming", "Pictures"):
        assert words in shown
    page.wait(f"[...{detail}.querySelectorAll('img')].every(image => image.complete && image.naturalWidth > 100)")
    page.press("Escape")
    assert page.run(f"{FOCUS}.getAttribute('aria-expanded')") == "false"
    page.press("ArrowUp")
    page.press(" ")
    assert "flagged" in page.run(f"{detail}.innerText")
    assert "zero_gradient" in page.run(f"{detail}.innerText")


@pytest.mark.parametrize("width", [1400])
def test_the_page_is_light_or_dark_as_the_reader_wants(
    page: chromium.Page, width: int, tab: chromium.Page, file: Path
) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.run(paper)
    tab.open(file, width, dark=True)
    assert (light, page.run(paper)) == ("rgb(255, 255, 255)", "rgb(20, 23, 27)")
