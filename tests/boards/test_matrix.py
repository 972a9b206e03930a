"""The matrix as a picture and as a LaTeX table."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import Command

from hashbench.boards.intervals import ConfidenceInterval
from hashbench.boards.leaderboard import Leaderboard, leaderboards
from hashbench.boards.plots.latex import latex
from hashbench.boards.plots.matrix import save_matrix
from hashbench.boards.ranking import RankingRow
from hashbench.running.store import Result

LOW, HIGH = "mine_2:weight=3", "other"


def result(defense: str, attack: str) -> Result:
    targeted = attack == "dhta"
    identity = {
        "dataset": "digits", "split_digest": "d" * 16, "backbone": "cnn", "method": "csq", "training": "clean",
        "bits": 32, "norm": "linf", "eps": 8 / 255, "seed": 0, "defense": defense, "attack": attack,
        "attack_params": {}, "goal": "targeted" if targeted else "untargeted", "access": "white",
        "attacker": "adaptive", "schema_version": 1, "protocol_version": 1, "index": "reindexed",
    }  # fmt: skip
    numbers = {"map": 0.5, "chance_map": 0.1} | ({"t_map": 0.2, "t_chance_map": 0.1} if targeted else {})
    return Result(f"{defense}-{attack}", identity, numbers, {"created_utc": "2026-01-01T00:00:00+00:00"})


def board() -> tuple[Leaderboard, list[RankingRow]]:
    """Two defenses, the alphabetically first with the lower worst case, and a targeted attack."""
    results = [result(d, a) for d in ("none", LOW, HIGH) for a in ("none", "noise", "dhta")]
    (made,) = leaderboards(results)
    interval = ConfidenceInterval(0.5, 0.4, 0.6, 0.5)
    ranking = [
        RankingRow(name, "ranked", "", worst=np.full((1, 4), level), interval=interval, group=place)
        for place, (name, level) in enumerate([(HIGH, 0.6), (LOW, 0.5)], 1)
    ]
    return made, ranking


def test_rows_stand_in_the_order_of_the_worst_case_with_short_names(tmp_path: Path) -> None:
    made, ranking = board()
    save_matrix(made, tmp_path / "matrix", ranking, ("svg", "pdf"))
    drawn = (tmp_path / "matrix.svg").read_text()
    words = re.findall(r">([^<>]+)</text>", drawn)
    assert words.index(HIGH) < words.index("mine_2") < words.index("undefended")
    assert LOW not in words
    assert "Parameters: mine_2 weight=3." in drawn
    assert "t-MAP (%), less is better" in drawn
    assert words.count("chance 10.0") == 1, "on the scale of mAP"
    assert (tmp_path / "matrix.pdf").read_bytes().startswith(b"%PDF-")
    assert not (tmp_path / "matrix.png").exists()


def test_a_row_with_a_flag_that_costs_the_rank_has_a_dagger(tmp_path: Path) -> None:
    made, (first, second) = board()
    marked = [replace(first, flags=("stochastic", "noise_as_strong")), replace(second, flags=("noise_as_strong",))]
    save_matrix(made, tmp_path / "matrix", marked, ("svg",))
    drawn = (tmp_path / "matrix.svg").read_text()
    assert f">{HIGH}†</text>" in drawn
    assert ">mine_2</text>" in drawn
    assert "† flagged: its numbers can't be trusted; the column flags of" in drawn
    text = latex(made, marked)
    assert rf"{HIGH}\textdagger{{}} & 50.0" in text
    assert r"\textdagger{} flagged: its numbers can't be trusted" in text
    assert "dagger" not in latex(*board())


def test_the_latex_table_has_the_numbers_the_order_and_escaped_names() -> None:
    text = latex(*board())
    body = text[text.index(r"\midrule") :]
    assert r"other & 50.0 & 50.0 & 20.0 & \textbf{60.0} \\" in body
    assert r"mine\_2 & 50.0 & 50.0 & 20.0 & 50.0 \\" in body
    assert body.index("other") < body.index("mine") < body.index("undefended")
    assert r"defense & clean & noise & dhta t-MAP & worst case \\" in text
    assert r"\caption{" in text
    assert r"Parameters: mine\_2 weight=3." in text
    assert {text.count(rf"\{rule}") for rule in ("toprule", "bottomrule")} == {1}


@pytest.mark.usefixtures("registries")
def test_formats_are_written_verified_and_drawn_again(command: Command) -> None:
    words = ("--training", "epochs=1", "--defense", "cgat:epochs=1,steps=1", "--attack", "noise")
    assert command("run", *words, "--format", "pdf,tex,png,svg").code == 0
    (folder,) = (path.parent for path in Path("leaderboards").glob("*/results.csv"))
    assert {f"matrix.{form}" for form in ("pdf", "tex", "png", "svg")} <= {path.name for path in folder.iterdir()}
    verified = command("verify", "leaderboards")
    assert verified.code == 0
    assert "PDFs were not compared" in verified.out
    (folder / "matrix.tex").write_text("50.0")
    assert "matrix.tex was changed after it was written" in command("verify", "leaderboards").out
    for formats in (("svg",), ("pdf", "tex"), ("pdf",), ("tex",)):
        assert command("report", "--format", ",".join(formats)).code == 0
        assert {path.suffix[1:] for path in folder.glob("matrix.*")} == {"csv", *formats}
        assert {path.suffix[1:] for path in folder.glob("curve.*")} == {"csv", *formats} - {"tex"}
        verified = command("verify", "leaderboards")
        assert verified.code == 0, verified.out
        assert ("pictures in other formats were" in verified.out) == (formats == ("pdf", "tex"))
    wrong = command("run", *words, "--format", "pfd")
    assert (wrong.code, "'pfd' is no format of pictures; did you mean 'pdf'?" in wrong.err) == (2, True)
