"""Every picture shows what it showed when it was last looked at: `pytest tests/boards/test_drawn.py --redraw`."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import matplotlib.image
import pandas as pd
import pytest
from artists import differences, held
from matplotlib.figure import Figure
from toy_boards import make_board
from toy_results import LEVELS, SHOWN_CELL, matrix, picture, result, retrieved, save

from hashbench.boards.across.lengths import LengthPoint, LengthSeries
from hashbench.boards.compare import compare
from hashbench.boards.examples import SHOWN, AttackedExamples, Shown
from hashbench.boards.files import LeaderboardFiles, read_board
from hashbench.boards.leaderboard import leaderboards
from hashbench.boards.pairing import pair
from hashbench.boards.plots import board as plots_board
from hashbench.boards.plots import compare as plots_compare
from hashbench.boards.plots import corruptions as plots_corruptions
from hashbench.boards.plots import examples as plots_examples
from hashbench.boards.plots import matrix as plots_matrix
from hashbench.boards.plots.bracket import draw_bracket
from hashbench.boards.plots.evaluation import draw_evaluation
from hashbench.boards.plots.lengths import draw_lengths
from hashbench.boards.plots.tradeoff import draw_tradeoff
from hashbench.boards.ranking import RANKED
from hashbench.running.cell import Cell
from hashbench.running.store import Store

KEPT = Path(__file__).parents[1] / "golden" / "pictures"
Check = Callable[[Figure | None, str], None]


@pytest.fixture
def check(request: pytest.FixtureRequest) -> Check:
    """Hold a figure against the description of its name, or write that anew with `--redraw`."""

    def one(figure: Figure | None, name: str) -> None:
        assert figure
        differing = held(figure, KEPT / f"{name}.json", anew=request.config.getoption("--redraw"))
        assert not differing, "look at the picture; if it is right, run this file with --redraw:\n" + "\n".join(
            differing
        )

    return one


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that functions would save; no file is made."""
    found: list[Figure] = []

    def kept(figure: Figure, path: Path, formats: Sequence[str] = ()) -> None:
        found.append(figure)

    for module in (plots_compare, plots_corruptions, plots_examples, plots_matrix):
        monkeypatch.setattr(module, "save_figure", kept)
    return found


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> LeaderboardFiles:
    return read_board(make_board(tmp_path_factory.mktemp("board")))


def crowded(board: LeaderboardFiles) -> LeaderboardFiles:
    """Four points near each other, one of them without an interval."""
    places = [(0.9, 0.8), (0.91, 0.81), (0.92, 0.8), (0.93, 0.79), (0.9, 0.2)]
    rows = [
        {**board.ranking[0], "defense": f"d{number}", "map_clean": f"{clean}", "map_worst": f"{worst}",
         "ci_low": f"{worst - 0.01}" if number else "", "ci_high": f"{worst + 0.01}" if number else ""}
        for number, (clean, worst) in enumerate(places)
    ]  # fmt: skip
    return replace(board, ranking=tuple(rows))


def certified(board: LeaderboardFiles) -> LeaderboardFiles:
    """The first with a certificate and its interval, the second with a certificate alone, the others with none."""
    bounds = [("0.31", "0.28", "0.35"), ("0.22", "", "")]
    rows = [
        {**row, **dict(zip(("certified", "certified_ci_low", "certified_ci_high"), bound, strict=True))}
        for row, bound in zip(board.ranking, [*bounds, *[("", "", "")] * len(board.ranking)], strict=False)
    ]
    return replace(board, ranking=tuple(rows))


def otherwise(board: LeaderboardFiles, **changes: str) -> LeaderboardFiles:
    """The board with other values of fields that all rows share."""
    return replace(board, results=tuple({**row, **changes} for row in board.results))


def test_pictures_of_a_folder(board: LeaderboardFiles, check: Check) -> None:
    check(plots_board.draw_curve(board), "curve")
    check(draw_tradeoff(board), "tradeoff")
    check(plots_board.draw_recall(board), "recall")
    check(draw_bracket(certified(board)), "bracket")


def test_pictures_of_rarer_folders(board: LeaderboardFiles, check: Check) -> None:
    check(plots_board.draw_curve(otherwise(board, norm="l2", eps="0.5")), "curve-l2")
    check(draw_tradeoff(crowded(board)), "tradeoff-crowded")
    unknown = otherwise(certified(board), chance_map="", relevant_fraction="")
    check(draw_tradeoff(unknown), "tradeoff-chance-unknown")
    check(draw_bracket(unknown), "bracket-chance-unknown")
    check(plots_board.draw_recall(replace(unknown, ranking=())), "recall-clean")
    assert plots_board.draw_curve(otherwise(board, norm="patch")) is None, "that of the l-inf board"
    assert draw_bracket(board) is None, "nothing is certified"


@pytest.mark.parametrize("tall", [False, True], ids=["wide", "tall"])
def test_matrix(figures: list[Figure], check: Check, tall: bool) -> None:
    names = ["none", "noise", "pgd:steps=3,rate=2", "dhta", *(f"attack{place:02}" for place in range(4 * tall))]
    made, ranking = matrix(names)
    assert made.tall == tall
    ranking[0] = replace(ranking[0], flags=("stochastic",))
    plots_matrix.save_matrix(made, Path("matrix"), ranking)
    check(figures[0], f"matrix-{'tall' if tall else 'wide'}")


def test_a_matrix_of_two_squares_has_one_column_of_a_paper(figures: list[Figure], check: Check) -> None:
    (made,) = leaderboards([result("none", attack, 0.5) for attack in ("none", "pgd")])
    plots_matrix.save_matrix(made, Path("matrix"))
    check(figures[0], "matrix-small")


def compared(folder: Path, seeds: Sequence[int], attacks: Sequence[str] = tuple(LEVELS), **changes: Any) -> Any:
    store = Store(folder)
    for place, (defense, gain) in enumerate((("cgat", 0.0), ("mine", 0.1))):
        for attack in attacks:
            for seed in seeds:
                save(store, defense, attack, LEVELS[attack] + gain * (attack != "hag") * (place or 1), seed, **changes)
    return compare(store, pair(store.cells(), ("mine", "cgat"), attacks=[a for a in attacks if a != "none"]))


def test_comparisons(tmp_path: Path, figures: list[Figure], check: Check) -> None:
    found = compared(tmp_path, (0, 1))
    assert [row.told_apart for row in found.rows] == [True, False, False]
    plots_compare.save_comparison(found, Path("compare"))
    plots_compare.save_queries(found, Path("queries"))
    for figure, name in zip(figures, ("compare", "compare-queries"), strict=True):
        check(figure, name)


def test_a_comparison_under_one_targeted_attack(tmp_path: Path, figures: list[Figure], check: Check) -> None:
    found = compared(tmp_path, (0,), ("none", "pgd-hamming"))
    rows = tuple(replace(row, measure="t_map") for row in found.rows)
    targeted = replace(found, rows=rows)
    plots_compare.save_comparison(targeted, Path("compare"))
    plots_compare.save_queries(targeted, Path("queries"))
    for figure, name in zip(figures, ("compare-targeted", "compare-targeted-queries"), strict=True):
        check(figure, name)


def test_corruptions(figures: list[Figure], check: Check) -> None:
    rows = [
        {"defense": defense, "seed": seed, "corruption": name, "strength": strength, "map_clean": 0.9 - 0.1 * place,
         "map": 0.9 - 0.1 * place - 0.05 * strength - 0.01 * seed - 0.02 * number, "chance_map": 0.1 + 0.02 * seed}
        for place, defense in enumerate(("none", "mine:steps=3", "other", "last")) for seed in (0, 1)
        for number, name in enumerate(("noise", "blur", "fog", "contrast", "jpeg")) for strength in range(1, 6)
    ]  # fmt: skip
    means = pd.DataFrame({"defense": ["other", "none", "last", "mine:steps=3"], "map_corrupted": [0.7, 0.61, 0.5, 0.4]})
    plots_corruptions.save_corruptions(pd.DataFrame(rows), means, "digits, cnn", Path("corruptions"))
    check(figures[0], "corruptions")


def test_lengths(check: Check) -> None:
    lines = {
        name: tuple(
            LengthPoint(bits, 0.9 + place / 100, worst - place / 10, worst - place / 10 - 0.03, 0.8, status)
            for bits, worst in ((16, 0.5), (32, 0.62), (64, 0.7))
        )
        for place, (name, status) in enumerate({"lap": RANKED, "cgat": RANKED, "none": "below chance"}.items())
    }
    title = "digits, cnn, csq, 16, 32, 64 bits; l-inf eps 32/255"
    series = LengthSeries("lengths", title, lines, {"cgat": "learning_rate=0.02,weight=3", "lap": "weight=2"}, 0.1)
    check(draw_lengths(series), "lengths")
    check(draw_lengths(replace(series, chance=None, parameters={})), "lengths-chance-unknown")


def test_evaluation(check: Check) -> None:
    bars = [
        ("none", 0.912, (0.9, 0.93)), ("noise", 0.85, None), ("pgd-hamming", 0.4, (0.35, 0.47)),
        ("worst", 0.31, (0.3, 0.33)), ("certified", 0.2, None),
    ]  # fmt: skip
    title = "a model with a title that is too long for one line, so that it stands on two of them; seed 0"
    figure = draw_evaluation(title, bars, 0.1)
    check(figure, "evaluation")
    shown = matplotlib.image.imread(io.BytesIO(figure._repr_png_()))
    assert shown.shape[:2] == tuple(int(150 * side) for side in figure.get_size_inches()[::-1]), "in a notebook"


def test_examples(figures: list[Figure], check: Check) -> None:
    before = retrieved((True,) * SHOWN, SHOWN, 0.75)
    after = retrieved((True,) * 3 + (False,) * (SHOWN - 3), SHOWN + 2, float("nan"))
    shown = Shown(7, picture(0.5), picture(0.5 + 8 / 255), before, after)
    same = replace(shown, adversarial=shown.clean, position=8)
    for goal, norm, queries in (("untargeted", "linf", (shown, same)), ("targeted", "l2", (shown,))):
        cell = SimpleNamespace(identity={**SHOWN_CELL, "norm": norm}, attack=SimpleNamespace(goal=goal))
        plots_examples.save_examples(AttackedExamples(cast("Cell", cell), queries), Path("examples"))
        check(figures[-1], f"examples-{goal}")


def test_a_description_tells_what_differs() -> None:
    assert list(differences({"points": [[1.0, 2.0]], "a": 1}, {"points": [[1.1, 2.5]], "a": 2})) == [
        ".a: 1 -> 2", ".points[0][1]: 2.0 -> 2.5",
    ]  # fmt: skip
