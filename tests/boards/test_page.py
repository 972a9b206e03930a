"""The page as text: whole, safe, the same each time."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from toy_boards import SCRIPT, make_board, stub_pictures

from hashbench.boards.evidence_files import BROKEN
from hashbench.boards.files import read_board
from hashbench.boards.page import write_page
from hashbench.digests import signed
from hashbench.errors import BadInput


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two leaderboards, one with every table and picture, one as it was before there were rankings."""
    folder = tmp_path_factory.mktemp("leaderboards")
    stub_pictures(make_board(folder))
    make_board(folder, "fashion-mnist", whole=False, bits=32)
    return folder


def test_the_page_has_every_row_with_reasons_flags_command_and_pictures(out: Path) -> None:
    text = write_page(out, {"zero_gradient": "it has none & should"}).read_text()
    assert text.count('<tr class="row') == 12
    assert text.count('<tr class="row out"') == 3 + 6
    assert "it is not in ranking.csv" in text.replace("&#39;", "'")
    assert "<code>zero_gradient</code>: it has none &amp; should" in text
    assert "62.0 [59.0, 64.0]" in text
    assert re.findall(r'data-kind="number"[^>]*>([^<]+)<span', text)[0] == "rank group"
    assert "<dt>rank, rank group</dt><dd>1, 1</dd>" in text
    assert ">p (Holm)<span" in text
    assert (
        "hashbench run --dataset digits --backbone cnn --method csq --bits 16 --eps 32/255 --seed 0 --seed 1 "
        "--defense mine --attack dhta --attack hag --attack noise --attack pgd-hamming</pre>"
    ) in text
    for name in ("matrix", "curve", "tradeoff", "precision-recall"):
        assert len(re.findall(rf'id="t\w+-{name}" src="data:image/svg\+xml;base64,', text)) == 1
    assert text.count('alt="gallery-cgat, hag, seed0"') == 1


def test_the_page_needs_nothing_from_elsewhere_and_tables_bring_no_code_into_it(out: Path) -> None:
    text = write_page(out).read_text()
    assert re.findall(r'(?:src|href)="(?!data:|#|[\w-]+/(?:provenance|results)\.csv)[^"]*"', text) == []
    assert SCRIPT not in text
    assert "the attack left the budget &lt;script&gt;" in text
    assert text.count("<script>") == 1


def test_the_page_is_the_same_twice_whatever_times_and_machines_say(out: Path, tmp_path: Path) -> None:
    first = write_page(out).read_bytes()
    assert write_page(out).read_bytes() == first
    for name, host in (("one", "2026-01-01"), ("two", "2027-02-02")):
        folder = make_board(tmp_path / name)
        made = folder / "provenance.csv"
        made.write_text(made.read_text().replace("2026-01-01", host).replace(",3.0,", ",4.0,"))
    assert write_page(tmp_path / "one").read_bytes() == write_page(tmp_path / "two").read_bytes()


def test_a_folder_without_leaderboards_or_with_a_damaged_one_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no leaderboard"):
        write_page(tmp_path)
    folder = make_board(tmp_path, whole=False)
    (folder / "ranking.csv").write_text("defense,map_clean\nnone,much\n")
    with pytest.raises(BadInput, match="map_clean is 'much'; give a finite number"):
        write_page(tmp_path)
    (folder / "ranking.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="has no column 'defense'"):
        write_page(tmp_path)
    (folder / "ranking.csv").unlink()
    results = folder / "results.csv"
    results.write_text(results.read_text().replace(",method,", ",way,", 1))
    with pytest.raises(BadInput, match=r"results\.csv has no column 'method'"):
        write_page(tmp_path)


def test_a_certified_row_may_lack_its_bits(tmp_path: Path) -> None:
    folder = make_board(tmp_path)
    (folder / "ranking.csv").write_text("rank,defense,map_worst,certified,free_bits,status\n1,cgat,0.5,0.4,,ranked\n")
    assert "bits that may change, mean</dt><dd>unknown" in re.sub(r"\s*\n\s*", "", write_page(tmp_path).read_text())


def test_boards_of_a_versioned_attack_set_stand_first(tmp_path: Path) -> None:
    make_board(tmp_path, "cifar10", whole=False)
    make_board(tmp_path)
    text = write_page(tmp_path).read_text()
    assert text.index("digits, cnn") < text.index("cifar10, cnn")


def break_row(folder: Path, name: str, **changes: object) -> Path:
    """Write the record of a row that someone else lowered."""
    row = next(row for row in read_board(folder).results if (row["defense"], row["seed"]) == ("cgat", "1"))
    facts = {
        "defense": "cgat", "seed": 1, "model_digest": row["model_digest"], "eps": 32 / 255, "by": "A. Author, 2027",
        "n_images": 30, "n_lowered": 12, "map_worst": 0.62, "map_broken": 0.554, "images_sha256": "0" * 64,
    }  # fmt: skip
    path = folder / BROKEN / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(signed(facts | changes)))
    return path


def test_what_others_lowered_stands_in_its_row_with_credit_and_points(tmp_path: Path) -> None:
    folder = make_board(tmp_path)
    plain = write_page(tmp_path).read_text()
    break_row(folder, "weaker", map_broken=0.61, by=SCRIPT)
    text = write_page(tmp_path).read_text()
    assert "seed 1: 62.0 → 61.0 by &lt;script&gt;" in text
    break_row(folder, "stronger")
    break_row(folder, "of-another-model", model_digest="f" * 16, by="Nobody")
    text = write_page(tmp_path).read_text()
    assert text.count("seed 1: 62.0 → 55.4 by A. Author, 2027; 1 more") == 1
    cells = [">A. Author, 2027</th>", ">1</td>", ">62.0</td>", ">55.4</td>", ">-6.6</td>", ">12 of 30</td>"]
    assert "<td".join(cells) in text
    assert "<td>1</td><td>62.0</td><td>61.0</td><td>-1.0</td><td>12 of 30</td>" in text
    assert text.count("Lowered by others") == 1
    assert "Nobody" not in text
    assert SCRIPT not in text
    (folder / BROKEN / "stronger.json").write_text("{}")
    with pytest.raises(BadInput, match=r"stronger\.json was changed after it was written"):
        write_page(tmp_path)
    for path in (folder / BROKEN).iterdir():
        path.unlink()
    assert write_page(tmp_path).read_text() == plain
