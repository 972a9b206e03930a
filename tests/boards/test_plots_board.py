"""Pictures of a leaderboard's files."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from toy_boards import DEFENSES, make_board

from hashbench.boards.files import LeaderboardFiles, read_board
from hashbench.boards.plots.board import _curve_of, draw_curve, draw_recall, save_pictures
from hashbench.boards.plots.marks import KNOWN, MOST, leading, marks, spread
from hashbench.boards.plots.matrix import ONE, TWO
from hashbench.boards.plots.tradeoff import draw_tradeoff
from hashbench.errors import BadInput
from hashbench.registry import entries


def test_every_picture_is_there_as_png_and_svg_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    folder = make_board(tmp_path)
    assert save_pictures(folder) == ["curve", "tradeoff", "precision-recall"]
    names = {f"{name}.{form}" for name in ("curve", "tradeoff", "precision-recall") for form in ("png", "svg")}
    first = {name: (folder / name).read_bytes() for name in names}
    save_pictures(folder)
    assert {name: (folder / name).read_bytes() for name in names} == first
    picture = matplotlib.image.imread(folder / "curve.png")
    assert picture.shape[1] > 1000
    assert b"saat learning_rate=0.02, weight=3" in first["curve.svg"]
    assert b">saat<" in first["curve.svg"]


def test_the_numbers_drawn_are_those_of_the_tables(tmp_path: Path) -> None:
    board = read_board(make_board(tmp_path))
    curve, tradeoff, recall = draw_curve(board), draw_tradeoff(board), draw_recall(board)
    assert curve
    assert tradeoff
    assert recall
    lines = [np.asarray(line.get_xydata()) for line in curve.axes[0].lines]
    wanted = sum(float(r["map"]) for r in board.curve if r["defense"] == "mine" and float(r["eps"]) == 0) * 50
    assert any(line[0][1] == pytest.approx(wanted) and len(line) == 7 for line in lines)
    points = [tuple(np.asarray(line.get_xydata())[0]) for line in tradeoff.axes[0].lines]
    assert (80.0, 41.0) in points
    assert len(recall.axes) == 2
    assert [bool(axes.get_legend()) for axes in recall.axes] == [False, True], "names stand on the right"
    assert not curve.axes[0].get_xticks(minor=True).size, "a tick is a budget that was measured"
    assert all(line.get_markevery() == 2 for line in recall.axes[0].lines[: len(DEFENSES)])  # as the legend says
    for line in recall.axes[0].lines[: len(DEFENSES)]:
        assert np.asarray(line.get_xydata())[-1] == pytest.approx((100, 20)), "the last radius finds everything"


def test_what_the_files_do_not_hold_is_not_drawn(tmp_path: Path) -> None:
    folder = make_board(tmp_path, whole=False)
    assert save_pictures(folder) == []
    (folder / "queries").mkdir()
    cell = read_board(folder).cells("cgat", "none")[0]
    (folder / "queries" / f"{cell['config_digest']}.npz").write_bytes(b"no archive")
    with pytest.raises(BadInput, match="can't be read"):
        save_pictures(folder)


def only(board: LeaderboardFiles, defenses: tuple[str, ...]) -> LeaderboardFiles:
    results, ranking, curve = (
        tuple(row for row in rows if row["defense"] in defenses) for rows in (board.results, board.ranking, board.curve)
    )
    return replace(board, results=results, ranking=ranking, curve=curve)


def words_of(figure: Figure) -> list[Text]:
    """Everything written, but for the numbers along the axes."""
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    words = [*figure.texts]
    for axes in figure.axes:
        words += [*axes.texts, axes.xaxis.label, axes.yaxis.label]
        words += legend.findobj(Text) if (legend := axes.get_legend()) else []
    return [word for word in words if word.get_text()]


@pytest.mark.parametrize("defenses", [DEFENSES, ("none", "cgat")], ids=["long names", "short names"])
def test_no_word_leaves_its_picture(tmp_path: Path, defenses: tuple[str, ...]) -> None:
    board = only(read_board(make_board(tmp_path)), defenses)
    for figure in (draw_curve(board), draw_tradeoff(board), draw_recall(board)):
        assert figure
        words = words_of(figure)
        assert len(words) > len(defenses)
        whole = figure.bbox
        for word in words:
            box = word.get_window_extent()
            assert whole.x0 <= box.x0, word
            assert box.x1 <= whole.x1, word
            assert whole.y0 <= box.y0, word
            assert box.y1 <= whole.y1, word


def test_no_line_goes_through_the_label_of_the_chance_level(tmp_path: Path) -> None:
    figure = draw_tradeoff(read_board(make_board(tmp_path)))
    assert figure
    (label,) = [word for word in words_of(figure) if word.get_text().startswith("chance")]
    axes = figure.axes[0]
    ends = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_linestyle() == "--"]
    (upright,) = [start[0] for start, end in ends if start[0] == end[0]]
    box = label.get_window_extent()
    assert not box.x0 <= axes.transData.transform((upright, 0))[0] <= box.x1
    assert axes.bbox.x0 <= box.x0
    assert box.x1 <= axes.bbox.x1


def test_of_many_rows_the_first_of_each_defense_is_drawn_and_the_others_are_dots(tmp_path: Path) -> None:
    board = read_board(make_board(tmp_path))
    others = tuple(
        {**board.ranking[0], "defense": f"saat:epochs={one}", "map_clean": "0.5", "map_worst": f"{0.2 + one / 100}"}
        for one in range(MOST)
    )
    crowd = replace(board, ranking=board.ranking + others)
    assert leading(crowd.defenses) == board.defenses
    pictures = [draw_curve(crowd), draw_tradeoff(crowd), draw_recall(crowd)]
    captions = [words_of(figure)[1].get_text().partition(";")[0] for figure in pictures if figure]
    said = "Of each defense the row that ranks highest"
    assert captions == [said, f"{said}, the others as dots", said]
    tradeoff = pictures[1]
    assert tradeoff
    dots = [line for line in tradeoff.axes[0].lines if line.get_marker() == "."]
    assert [np.asarray(line.get_ydata())[0] for line in dots] == [pytest.approx(20 + one) for one in range(MOST)]
    assert {line.get_color() for line in dots} == {marks(board.defenses)["saat:learning_rate=0.02,weight=3"].colour}
    assert leading([f"cgat:epochs={one}" for one in range(MOST)]) == [f"cgat:epochs={one}" for one in range(MOST)]


def test_marks_do_not_depend_on_the_order_and_differ_in_shape() -> None:
    names = ["none", *(f"d{place:02}" for place in range(24))]
    known = marks(names)
    assert known == marks(names[::-1])
    assert len({(mark.shape, mark.filled) for mark in known.values()}) == len(names)


def test_a_defense_of_hashbench_has_the_same_mark_on_each_board() -> None:
    one, other = marks(["none", "lap", "mine", "cgat"]), marks(["cgat:weight=3", "zebra", "none", "lap:weight=2"])
    assert one["cgat"] == other["cgat:weight=3"]
    assert one["lap"] == other["lap:weight=2"]
    twice = marks(["lap", "cgat", "cgat:weight=3"])
    assert twice["lap"] == one["lap"]
    assert len({mark.colour for mark in twice.values()}) == 4


def test_every_defense_of_hashbench_has_a_mark_of_its_own() -> None:
    assert {entry.name for entry in entries.defenses} - {"none", "checkpoint"} <= set(KNOWN)


@pytest.mark.parametrize("number", [13, 26, 60])
def test_no_colour_is_there_twice(number: int) -> None:
    known = marks(["none", *(f"d{place:02}" for place in range(number))])
    assert len({mark.colour for mark in known.values()}) == number + 1


def test_points_that_crowd_are_drawn_once_more_in_a_corner_without_points(tmp_path: Path) -> None:
    board = read_board(make_board(tmp_path))
    row = board.ranking[0]

    def drawn(places: list[tuple[float, float]]) -> Figure:
        rows = [
            {
                **row,
                "defense": f"d{n}",
                "map_clean": f"{x}",
                "map_worst": f"{y}",
                "ci_low": f"{y - 0.01}",
                "ci_high": f"{y + 0.01}",
            }
            for n, (x, y) in enumerate(places)
        ]
        figure = draw_tradeoff(replace(board, ranking=tuple(rows)))
        assert figure
        return figure

    crowded = drawn([(0.9, 0.8), (0.91, 0.81), (0.92, 0.8), (0.93, 0.79), (0.9, 0.2)])
    (inset,) = crowded.axes[0].child_axes
    assert inset.get_xlim() == pytest.approx((89.3, 93.7))
    assert inset.get_ylim() == pytest.approx((77.3, 82.7)), "with the ends of all intervals"
    assert len([line for line in inset.lines if line.get_marker() != "None"]) == 4
    assert not drawn([(0.9, 0.8), (0.7, 0.6), (0.5, 0.4), (0.3, 0.3)]).axes[0].child_axes


def test_a_curve_lies_between_the_outermost_ends_of_the_seeds_intervals() -> None:
    rows = [
        {"defense": "mine", "eps": "0.1", "map": f"{value}", "ci_low": f"{value - 0.1}", "ci_high": f"{value + 0.1}"}
        for value in (0.4, 0.6)
    ]
    ((eps, *found),) = _curve_of([*rows, {**rows[0], "defense": "other"}], "mine", 10)
    assert eps == 1
    assert found == pytest.approx([50, 30, 70])


def test_pictures_have_the_width_of_one_or_two_columns(tmp_path: Path) -> None:
    board = read_board(make_board(tmp_path))
    assert {figure.get_figwidth() for figure in (draw_curve(board), draw_tradeoff(board)) if figure} == {ONE}
    assert {figure.get_figwidth() for figure in (draw_recall(board),) if figure} == {TWO}


def test_names_that_do_not_touch_stay_where_they_are_wanted() -> None:
    wanted = {"a": 10.0, "b": 20.0, "c": 29.5, "d": 100.0}
    assert spread(wanted, 9, 200) == pytest.approx(wanted)


@given(st.lists(st.floats(0, 200), min_size=1, max_size=20))
def test_names_beside_a_picture_never_touch_and_keep_their_order(heights: list[float]) -> None:
    wanted = {f"d{place:02}": height for place, height in enumerate(heights)}
    found = spread(wanted, 9, 200)
    ordered = sorted(found.values())
    assert min(ordered) >= -1e-9
    assert max(ordered) <= 200 + 1e-9
    assert all(high - low >= 9 - 1e-6 for low, high in itertools.pairwise(ordered))
    assert sorted(wanted, key=lambda name: (wanted[name], name)) == sorted(found, key=found.__getitem__)
