"""What reports of evaluations, of attacked boards and of broken rows say, word by word."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from hashbench.api.report import EvaluationReport
from hashbench.api.run import command_of
from hashbench.boards.evidence_files import BrokenRow
from hashbench.cli.zoo import _line as line_of_board
from hashbench.errors import BadInput, StoreUnusable
from hashbench.running.request import Request

NONE = {
    "goal": "untargeted",
    "map": 0.9,
    "map_low": 0.88,
    "map_high": 0.92,
    "ci_low": 0.85,
    "ci_high": 0.95,
    "chance_map": 0.1,
}
ATTACKED = {**NONE, "map": 0.4, "ci_low": None, "ci_high": None, "linf_max": 0.031, "forwards": 7, "backwards": 3}
REPORT = EvaluationReport(
    "mine", 16, 8 / 255, 3, "d" * 16, 0.9, (0.85, 0.95), 0.3, (0.25, 0.35), 0.1, 0.2, None, "", ("high_tie_mass",),
    {"none": NONE, "noise": ATTACKED, "pgd": {**ATTACKED, "map": 0.35, "t_map": None}}, {"none": {}}, {"protocol": 2},
    "linf", ("leak: <1> & 2",),
)  # fmt: skip
MEANING = (
    "high_tie_mass: many database items are tied, so mAP depends on the order of ties; use more bits or look for "
    "constant ones; read the bounds beside each mAP"
)


def test_a_report_as_text() -> None:
    assert str(REPORT).splitlines() == [
        "mine, 16 bits; l-inf eps 8/255; mAP in %, 95 % interval over queries",
        "  clean                     90.0 [85.0, 95.0]",
        "  noise                     40.0",
        "  pgd                       35.0",
        "  worst case                30.0 [25.0, 35.0]",
        "  certified                 20.0",
        "  chance                    10.0",
        f"flag: {MEANING}",
        "leak: <1> & 2",
    ]
    bare = replace(
        REPORT, map_worst=None, certified=None, certified_reason="no bounds are known", flags=(), leaks=(), norm="l2"
    )
    assert str(bare).splitlines()[0].startswith("mine, 16 bits; l2 eps 0.0313725; ")
    assert str(bare).splitlines()[-3:] == [
        "  worst case               -     no attack was run",
        "  certified                -     no bounds are known",
        "  chance                    10.0",
    ]


def test_a_report_as_a_table_and_in_a_notebook() -> None:
    table = REPORT.to_frame().to_dict("list")
    assert table["attack"] == ["none", "noise", "pgd", "worst", "certified"]
    assert table["map"] == [0.9, 0.4, 0.35, 0.3, 0.2]
    assert table["ci_low"] == [0.85, None, None, 0.25, None]
    assert table["ci_high"] == [0.95, None, None, 0.35, None]
    assert table["chance_map"] == [0.1] * 5
    assert len(replace(REPORT, map_worst=None, certified=None).to_frame()) == 3
    shown = REPORT._repr_html_()
    assert shown.count("<tr") == 6
    assert "<th>0</th>" not in shown, "rows are named by their attack, not numbered"
    assert "t_map" not in shown, "no column without a value"
    assert shown.endswith(f"<ul><li>{MEANING}</li><li>leak: &lt;1&gt; &amp; 2</li></ul>")
    without = replace(REPORT, flags=(), leaks=())
    assert "<ul>" not in without._repr_html_()


def test_a_report_as_json(tmp_path: Path) -> None:
    text = REPORT.to_json(tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text() == text
    found = json.loads(text)
    assert found["eps"] == 8 / 255, "exact"
    assert found["map_worst_interval"] == [0.25, 0.35]
    assert found["flags"] == ["high_tie_mass"]
    assert found["attacks"]["pgd"]["t_map"] is None
    assert found["attacks"]["noise"]["backwards"] == 3
    assert found["versions"] == {"protocol": 2}
    assert "queries" not in found
    assert text.endswith("\n}\n")
    with pytest.raises(StoreUnusable, match=r"can't write /proc/nowhere/a\.json \(.*\); name another file"):
        REPORT.to_json("/proc/nowhere/a.json")


def test_a_report_as_a_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[Any] = []

    def noted(*given: Any) -> Figure:
        drawn.append(given)
        return Figure()

    REPORT.plot(tmp_path / "new" / "one.png")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"one.png", "one.svg"}
    (tmp_path / "file").touch()
    for place, error in ((tmp_path / "file" / "x.png", StoreUnusable), ("", BadInput), (3, BadInput)):
        with pytest.raises(error, match=r"(name another file|give one, such as report\.png|give a path)$"):
            REPORT.plot(place)  # type: ignore[arg-type]
    monkeypatch.setattr("hashbench.boards.plots.evaluation.draw_evaluation", noted)
    REPORT.plot(tmp_path / "picture.jpeg")
    replace(REPORT, attacks={"none": NONE, "noise": ATTACKED}, certified=None).plot()
    replace(REPORT, map_worst=None).plot()
    title, bars, chance, path = drawn[0]
    assert (title, chance, path) == ("mine, 16 bits; l-inf eps 8/255", 0.1, tmp_path / "picture")
    assert [bar[0] for bar in bars] == ["none", "noise", "pgd", "worst", "certified"]
    assert [bar[2] for bar in bars] == [(0.85, 0.95), None, None, (0.25, 0.35), None]
    assert [bar[0] for bar in drawn[1][1]] == ["none", "noise"], "one attack is the worst case"
    assert drawn[1][3] is None
    assert [bar[0] for bar in drawn[2][1]] == ["none", "noise", "pgd", "certified"]


@pytest.mark.parametrize(
    ("request_", "plugins", "words"),
    [
        (Request(), (), ""),
        (Request(seeds=(0,), amp=True), (), " --amp"),
        (
            Request("emoji", "alexnet", "dsdh", 16, "epochs=1", "8/255", ("cgat", "my own"), ("hag",), (1, 2),
                    Path("tuned.csv"), norm="l2", access="ids"),
            (Path("a.py"), Path("b c.py")),
            " --dataset emoji --backbone alexnet --method dsdh --bits 16 --training epochs=1 --norm l2 --eps 8/255 "
            "--tuned tuned.csv --access ids --seed 1 --seed 2 --plugin a.py --plugin 'b c.py' --defense cgat "
            "--defense 'my own' --attack hag",
        ),
        (Request(patch=3), (), " --patch 3"),
    ],
)  # fmt: skip
def test_the_command_of_a_request_names_what_is_not_as_by_default(
    request_: Request, plugins: tuple[Path, ...], words: str
) -> None:
    assert command_of(request_, plugins) == f"hashbench run{words}"


BOARD = {
    "defense": "cgat", "attack": "mine", "map_attack": 0.5, "map_worst": 0.45, "map_worst_now": 0.4,
    "map_attack_on_board": None, "change": -0.05, "change_ci_low": -0.06, "change_ci_high": -0.04,
    "lowered_share": 0.25, "lowered": True, "note": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "50.0; worst case 45.0 -> 40.0, change -5.00 [-6.00, -4.00], 25.0 % of the queries"),
        (
            {"note": "seed 1 failed"},
            "50.0; worst case 45.0 -> 40.0, change -5.00 [-6.00, -4.00], 25.0 % of the queries; seed 1 failed",
        ),
        ({"change_ci_low": None}, "50.0; worst case 45.0 -> 40.0, change -5.00, 25.0 % of the queries"),
        ({"map_attack_on_board": 0.52, "lowered": False}, "50.0 (52.0 on the board); lowers no query, worst case 45.0"),
        ({"map_worst_now": None}, "not attacked: it has no worst case"),
        ({"map_worst_now": None, "note": "no weights"}, "not attacked: no weights"),
    ],
)  # fmt: skip
def test_lines_of_an_attacked_board(changes: dict[str, Any], line: str) -> None:
    assert line_of_board({**BOARD, **changes}) == f"cgat under mine: {line}"


def test_the_line_of_a_broken_row() -> None:
    row = BrokenRow("cgat", 1, "a" * 16, 0.1, "A. Author", 30, 12, 0.62, 0.554)
    assert row.line == (
        "cgat, seed 1: worst case 62.0, with the images of A. Author 55.4; 12 of 30 queries are lower than under all "
        "attacks"
    )
