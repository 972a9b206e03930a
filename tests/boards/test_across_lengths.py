"""mAP against the length of codes, and boards side by side in their folder and on the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from compared_boards import CLEAN, compared_board
from matplotlib.container import ErrorbarContainer

from hashbench.boards.across.lengths import LengthPoint, length_series
from hashbench.boards.across.write import ACROSS, write_across
from hashbench.boards.files import read_boards
from hashbench.boards.page import page_text, write_page
from hashbench.boards.plots.lengths import draw_lengths
from hashbench.errors import BadInput

WORST = {16: 0.5, 32: 0.6, 64: 0.7}


def make_lengths(out: Path) -> None:
    for bits, worst in WORST.items():
        values = {"cgat:weight=3": np.full(8, worst), "lap": np.full(8, worst + 0.1), "none": np.full(8, 0.05)}
        values |= {"saat": np.full(8, 0.4)} if bits == 64 else {}
        compared_board(out, values, bits=bits, unranked={"none": "below chance"})


def test_one_line_a_defense_with_the_numbers_of_the_tables(tmp_path: Path) -> None:
    make_lengths(tmp_path)
    compared_board(tmp_path, {"lap": np.full(8, 0.3)}, dataset="emoji")  # another subject
    compared_board(tmp_path, {"lap": np.full(8, 0.3)}, method="dch", bits=16)
    compared_board(tmp_path, {"lap": np.full(8, 0.3)}, norm="l2", bits=16)  # another threat
    (series,) = length_series(read_boards(tmp_path))
    assert series.name == "lengths-digits-cnn-csq-16-32-64bit-linf-32-255"
    assert series.title == "digits, cnn, csq, 16, 32, 64 bits; l-inf eps 32/255"
    assert list(series.lines) == ["lap", "cgat", "none"]  # saat has one length only
    assert series.lines["cgat"] == tuple(
        LengthPoint(bits, CLEAN, worst, round(worst - 0.02, 6), round(worst + 0.02, 6), "ranked")
        for bits, worst in WORST.items()
    )
    assert series.parameters == {"cgat": "weight=3"}
    figure = draw_lengths(series)
    clean, attacked = figure.axes
    for axes, heights in ((clean, [100 * CLEAN] * 3), (attacked, [100 * worst for worst in WORST.values()])):
        line = next(
            one for one in axes.lines if one.get_marker() != "None" and one.get_color() == colour(figure, "cgat")
        )
        assert line.get_ydata() == pytest.approx(heights)
        assert line.get_xdata() == pytest.approx(list(WORST), rel=0.05)
    bars = [one for one in attacked.containers if isinstance(one, ErrorbarContainer)]
    assert len(bars) == 3
    assert not clean.containers
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "lap", "cgat", "undefended (below chance)", "chance",
    ]  # fmt: skip


def colour(figure, name: str) -> str:  # type: ignore[no-untyped-def]
    legend = figure.legends[0]
    texts = [text.get_text() for text in legend.get_texts()]
    return str(legend.get_lines()[texts.index(name)].get_color())


def test_the_folder_and_the_page_have_them_and_are_the_same_twice(tmp_path: Path) -> None:
    make_lengths(tmp_path)
    compared_board(tmp_path, {"lap": np.full(8, 0.3), "cgat": np.full(8, 0.2)}, dataset="<b>")
    text = write_page(tmp_path).read_text()
    names = sorted(path.name for path in (tmp_path / ACROSS).iterdir())
    picture = "lengths-digits-cnn-csq-16-32-64bit-linf-32-255"
    assert names == ["digests.json", "first.csv", f"{picture}.png", f"{picture}.svg", "ranks.csv"]
    assert '<section id="across"' in text
    assert text.count('alt="mAP against the length of codes') == 1
    part, whole = re.findall(r"<h3>(linf, standard-2: [^<]*)</h3>", text)
    assert (part, whole) == ("linf, standard-2: cnn, csq, 32 bits", "linf, standard-2: all boards")
    assert '<td>1 <span class="interval">[1, 1]</span></td><td>100.0 %</td>' in text
    assert "<b>" not in text.replace("<b style", "")
    assert "below chance" in text
    before = {name: (tmp_path / ACROSS / name).read_bytes() for name in names}
    assert write_page(tmp_path).read_text() == text
    assert {name: (tmp_path / ACROSS / name).read_bytes() for name in names} == before


def test_what_no_board_gives_any_more_is_taken_away(tmp_path: Path) -> None:
    make_lengths(tmp_path)
    write_page(tmp_path)
    kept = [board for board in read_boards(tmp_path) if board.subject["bits"] == "16"]
    assert write_across(tmp_path, kept) is None
    assert not (tmp_path / ACROSS).exists()
    write_across(tmp_path, read_boards(tmp_path))
    (tmp_path / ACROSS / "mine.txt").write_text("a note")
    write_across(tmp_path, kept)
    assert [path.name for path in (tmp_path / ACROSS).iterdir()] == ["mine.txt"]


def test_a_damaged_table_is_one_line(tmp_path: Path) -> None:
    make_lengths(tmp_path)
    write_page(tmp_path)
    first = tmp_path / ACROSS / "first.csv"
    first.write_text(first.read_text().replace("linf, standard-2: all boards,1,", "linf, standard-2: all boards,-1,"))
    first.write_text(first.read_text().replace(",lap,3,", ",lap,many,"))
    with pytest.raises(BadInput, match="boards is 'many'"):
        page_text(tmp_path)
    first.write_text("defense,rank\nlap,1\n")
    with pytest.raises(BadInput, match=r"first\.csv has other columns than group, place"):
        page_text(tmp_path)
