"""What the picture of single attacked queries shows, read from its SVG."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from toy_results import SHOWN_CELL, picture, retrieved

from hashbench.boards.examples import SHOWN, AttackedExamples, Shown
from hashbench.boards.plots.examples import RIGHT, WRONG, save_examples
from hashbench.running.cell import Cell


@pytest.fixture(scope="module")
def svg(tmp_path_factory: pytest.TempPathFactory) -> str:
    before = retrieved((True,) * SHOWN, SHOWN, 0.75)
    after = retrieved((True,) * 3 + (False,) * (SHOWN - 3), SHOWN + 2, float("nan"))
    cell = SimpleNamespace(identity=SHOWN_CELL, attack=SimpleNamespace(goal="untargeted"))
    shown = Shown(7, picture(0.5), picture(0.5 + 8 / 255), before, after)
    path = tmp_path_factory.mktemp("picture") / "gallery"
    save_examples(AttackedExamples(cast("Cell", cell), (shown,)), path)
    return Path(f"{path}.svg").read_text(encoding="utf-8")


def strokes(svg: str, colour: str, width: float) -> int:
    return len(re.findall(rf"stroke: {colour}; stroke-width: {width:g}\b", svg))


def test_scores_distances_and_ties_are_written(svg: str) -> None:
    assert svg.count(">AP 75.0 %<") == 1
    assert "nan" not in svg, "a query without an average precision has none in the picture"
    assert [svg.count(f">d {distance}<") for distance in range(SHOWN)] == [2] * SHOWN
    assert svg.count(f"{SHOWN + 2} items lie within d {SHOWN - 1}") == 1
    assert "change x 15.9" in svg, "the budget fills half of the scale: 0.5 / (8 / 255)"


def test_each_item_has_the_frame_and_the_sign_of_its_label(svg: str) -> None:
    right, wrong = SHOWN + 3, SHOWN - 3
    assert (strokes(svg, RIGHT, 1.8), strokes(svg, WRONG, 1.8)) == (4 * right, 4 * wrong)
    signs = re.findall(rf'<path id="\w+" d="([^"]+)" style="[^"]*stroke: ({RIGHT}|{WRONG}); stroke-width: 1.1"', svg)
    assert {colour for _, colour in signs} == {RIGHT, WRONG}
    for path, colour in signs:
        points = [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]
        across = [x for x, _ in points]
        assert max(across) - min(across) == pytest.approx({RIGHT: 4, WRONG: 3.6}[colour], rel=0.01), "points wide"
        if colour == RIGHT:
            assert across == sorted(across)
            assert points[1][1] == max(y for _, y in points), "a tick goes down, then up"
