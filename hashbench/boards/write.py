"""Writes the files of a leaderboard's folder: tables, per-query files, pictures and digests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hashbench.boards import probe_tables
from hashbench.boards.certificates import cell_columns, lower_bounds
from hashbench.boards.compare import Comparison
from hashbench.boards.evidence_files import CERTIFICATES, PROBES, Evidence, save_evidence
from hashbench.boards.examples import AttackedExamples
from hashbench.boards.leaderboard import Leaderboard, file_name, folder_name
from hashbench.boards.plots import compare as plots_compare
from hashbench.boards.plots.board import PICTURES, save_pictures
from hashbench.boards.plots.examples import save_examples
from hashbench.boards.plots.latex import save_latex
from hashbench.boards.plots.matrix import FORMATS, LATEX, remove_pictures, save_matrix
from hashbench.boards.probe_tables import ProbeReport
from hashbench.boards.query_files import save_queries, write_digests
from hashbench.boards.ranking import RankingRow, table
from hashbench.boards.tables import plain, write_table, writing
from hashbench.running.store import Store

MATRIX = "matrix"  # the picture that is made of results, where the others are made of files


def write_leaderboard(
    board: Leaderboard,
    out: Path,
    store: Store,
    ranking: Sequence[RankingRow],
    reports: Sequence[ProbeReport] = (),
    certificates: Sequence[Evidence] = (),
    formats: Sequence[str] = FORMATS,
) -> Path:
    """Write a leaderboard's files and return their folder.

    Args:
        store: the store with the cells' per-query arrays.
        ranking: the ranking of its defenses, from `ranking.rank`.
        reports: what probes say about its models.
        certificates: of its models, from `certificates_of`.
        formats: endings of the pictures' files, with tex for the matrix as a LaTeX table.

    Raises:
        StoreUnusable: the folder can't be written.
    """
    tables = {
        "results": board.rows(cell_columns(board.results, store.arrays, lower_bounds(certificates))),
        "provenance": board.provenance(),
        "matrix": with_worst(board.matrix(), ranking, board.chance),
        "ranking": table(ranking),
        **probe_tables.tables(reports),
    }
    folder = out / board.name
    with writing(folder):
        for name, rows in tables.items():
            write_table(folder / f"{name}.csv", rows)
        save_queries(folder, board.results, store.arrays)
        save_evidence(folder, PROBES, [report.evidence for report in reports if report.evidence])
        save_evidence(folder, CERTIFICATES, certificates)
        save_all_pictures(board, folder, folder, ranking, formats)
        write_digests(folder)
    return folder


def save_all_pictures(
    board: Leaderboard, folder: Path, into: Path, ranking: Sequence[RankingRow], formats: Sequence[str] = FORMATS
) -> None:
    """Save every picture of a leaderboard, and the matrix as LaTeX where that is among the formats.

    Those of before that are not saved anew are removed, since they show other tables.

    Args:
        folder: where its tables are.
        into: where the pictures go.
    """
    drawn = [form for form in formats if form != LATEX]
    save_matrix(board, into / MATRIX, ranking, drawn)
    names = (MATRIX, *save_pictures(folder, into, drawn))
    if LATEX in formats:
        save_latex(board, into / MATRIX, ranking)
    kept = {f"{name}.{form}" for name in names for form in drawn} | {f"{MATRIX}.{form}" for form in formats}
    remove_pictures(into, (MATRIX, *PICTURES), kept)


def write_comparison(comparison: Comparison, out: Path) -> tuple[Path, Path, Path]:
    """Write the table and two pictures, of the means and of the queries, into the leaderboard's folder.

    Returns their paths; each picture is also written as SVG.

    Raises:
        StoreUnusable: the folder can't be written.
    """
    folder = out / folder_name(dict(comparison.pairing.identity))
    name = "compare-" + "-vs-".join(file_name(label) for label in comparison.pairing.defenses)
    path = folder / f"{name}.csv"
    with writing(folder):
        write_table(path, comparison.table())
        plots_compare.save_comparison(comparison, folder / name)
        plots_compare.save_queries(comparison, folder / f"{name}-queries")
    return path, folder / f"{name}.png", folder / f"{name}-queries.png"


def write_examples(examples: AttackedExamples, out: Path) -> Path:
    """Write a picture of attacked queries into the leaderboard's folder, as PNG and SVG, and return the PNG's path.

    Raises:
        StoreUnusable: the folder can't be written.
    """
    identity = examples.cell.identity
    folder = out / folder_name(identity)
    words = [file_name(identity["defense"]), file_name(identity["attack"]), f"seed{identity['seed']}"]
    path = folder / f"gallery-{'--'.join(words)}"
    with writing(folder):
        save_examples(examples, path)
    return path.with_name(f"{path.name}.png")


def with_worst(matrix: pd.DataFrame, ranking: Sequence[RankingRow], chance: float | None) -> pd.DataFrame:
    """A board's matrix with the worst case and its interval as its last columns, if there is one."""
    if all(row.value is None for row in ranking):
        return matrix
    levels = {
        s.defense: (s.value, *((s.interval.low, s.interval.high) if s.interval else (None, None))) for s in ranking
    }
    rows = [levels.get(defense, (chance, None, None)) for defense in matrix["defense"]]
    whole = matrix.copy()
    for name, values in zip(("worst", "worst ci_low", "worst ci_high"), zip(*rows, strict=True), strict=True):
        whole[name] = [plain(value) for value in values]
    return whole
