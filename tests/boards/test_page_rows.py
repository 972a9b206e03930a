"""The rows of the page of leaderboards: their attacks, flags and numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from toy_boards import make_board, stub_pictures

from hashbench.boards import page
from hashbench.boards.files import read_board


def section(folder: Path) -> page.Section:
    return page._section(read_board(folder), {"zero_gradient": "it has none"})


def test_a_row_of_the_page_has_its_attacks_in_order_with_means_over_seeds(tmp_path: Path) -> None:
    folder = make_board(tmp_path)
    stub_pictures(folder)
    (folder / "mine--note.svg").write_text("<svg/>")
    found = section(folder)
    assert [one.name for one in found.pictures] == ["matrix", "curve", "tradeoff", "precision-recall", "mine--note"]
    assert found.pictures[-1].caption == "mine, note"
    assert dict(found.facts) == {
        "dataset": "digits", "split digest": "d" * 16, "backbone": "cnn", "method": "csq", "training": "clean",
        "bits": "16", "norm": "linf", "index": "reindexed", "eps": "32/255", "protocol version": "1", "queries": "40",
        "database items": "200",
    }  # fmt: skip
    rows = {row.defense: row for row in found.entries}
    assert list(rows) == [row["defense"] for row in read_board(folder).ranking]
    cgat = rows["cgat"]
    assert [(line.attack, line.measure, line.access) for line in cgat.lines] == [
        ("clean", "mAP", "none"), ("hag", "mAP", "white"), ("noise", "mAP", "none"), ("pgd-hamming", "mAP", "white"),
        ("dhta", "t-MAP", "white"),
    ]  # fmt: skip
    own = [
        float(row["map"]) for row in read_board(folder).results if (row["defense"], row["attack"]) == ("cgat", "hag")
    ]
    assert cgat.lines[1].value == pytest.approx(sum(own) / 2)
    assert cgat.lines[1].rounded == pytest.approx(sum(own) / 2)
    assert (cgat.lines[4].value, cgat.lines[4].low, cgat.lines[4].high) == pytest.approx((0.7, 0.6, 0.8))
    assert cgat.lines[4].rounded is None
    assert cgat.ranked
    assert cgat.clean == cgat.value("map_clean") == 0.88
    assert [one.name for one in cgat.pictures] == ["gallery-cgat--hag--seed0"]
    assert dict(rows["bit-depth"].flags) == {"zero_gradient": "it has none", "black_box_beats_white_box": ""}
    assert dict(rows["bit-depth"].signals) == {"zero_gradient_share": "0.5, 0.5"}
    broken = next(line for line in rows["broken"].lines if line.attack == "hag")
    assert (broken.value, broken.low, broken.high, broken.rounded) == (None,) * 4
    assert [reason.partition(":")[0] for reason in broken.reasons] == ["seed 0", "seed 1"]
    assert rows["broken"].status == "invalid"
    assert not rows["broken"].ranked
    assert dict(cgat.digests)["model digest"] == "a" * 16
    assert "tuned by trials" not in dict(cgat.digests)
    assert found.reference == "cgat"
    assert sum(row.value("delta_vs_cgat") is not None for row in rows.values()) >= 1


def test_the_command_of_a_row_names_the_plugins_that_measured_it(tmp_path: Path) -> None:
    folder = make_board(tmp_path)
    results, provenance = (pd.read_csv(folder / f"{name}.csv", dtype=str) for name in ("results", "provenance"))
    results.loc[results["defense"] == "cgat", "versions"] = '{"defense": "1+abc"}'
    provenance["config_digest"], provenance["command"] = results["config_digest"], "hashbench run --plugin mine.py"
    results.to_csv(folder / "results.csv", index=False)
    provenance.to_csv(folder / "provenance.csv", index=False)
    rows = {row.defense: row.command for row in section(folder).entries}
    assert " --plugin mine.py --seed 0 --seed 1 --defense cgat " in rows["cgat"]
    assert not [defense for defense, command in rows.items() if "--plugin" in command and defense != "cgat"]


def test_a_row_without_a_ranking_takes_its_clean_map_and_its_flags_from_elsewhere(tmp_path: Path) -> None:
    folder = make_board(tmp_path)
    (folder / "ranking.csv").unlink()
    assert section(folder).reference == ""
    rows = {row.defense: row for row in section(folder).entries}
    own = [
        float(row["map"]) for row in read_board(folder).results if (row["defense"], row["attack"]) == ("cgat", "none")
    ]
    assert rows["cgat"].clean == pytest.approx(sum(own) / 2)
    assert rows["cgat"].status == "not ranked"
    assert [flag for flag, _ in rows["bit-depth"].flags] == ["zero_gradient", "black_box_beats_white_box"]
    assert section(make_board(tmp_path / "bare", whole=False)).entries[0].signals == ()


def test_oblivious_attackers_have_lines_of_their_own_and_numbers_their_forms(tmp_path: Path) -> None:
    rows = read_board(make_board(tmp_path)).cells("cgat", "hag")
    two = page._lines([*rows, {**rows[0], "attacker": "oblivious", "map": "0.125", "map_8bit": ""}])
    assert [(line.attack, line.value) for line in two][1] == ("hag (oblivious)", 0.125)
    assert two[1].rounded is None
    assert [page._written(".1f", 100)(level) for level in (None, 0.1234, 1.0)] == ["", "12.3", "100.0"]
    assert [page._written("+.1f", 100)(level) for level in (None, 0.1234, -0.05)] == ["", "+12.3", "-5.0"]
    assert [page._written(".6g")(value) for value in (None, 8.5, 1234567.0)] == ["", "8.5", "1.23457e+06"]
    assert [page._p(value) for value in (None, 0.00099, 0.001, 0.25)] == ["", "< 0.001", "0.001", "0.250"]
