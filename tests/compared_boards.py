"""Leaderboards' folders of invented APs, with what boards side by side are made from and nothing else."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hashbench.boards.query_files import RANKING_VERSION, FolderDigests, write_digests

SET = "standard-2"
SUBJECT: dict[str, Any] = {
    "schema_version": 1, "protocol_version": 1, "dataset": "digits", "split_digest": "d" * 16, "backbone": "cnn",
    "method": "csq", "training": "clean", "bits": 32, "norm": "linf", "eps": 0.12549, "goal": "untargeted",
    "attacker": "adaptive", "index": "reindexed", "status": "valid", "chance_map": 0.1,
}  # fmt: skip
CLEAN = 0.99  # AP of every clean query


def compared_board(
    out: Path, values: Mapping[str, ArrayLike], *, unranked: Mapping[str, str] | None = None, attack_set: str = SET,
    name: str = "", tuned: Collection[str] = (), **subject: Any,
) -> Path:  # fmt: skip
    """Write a board.

    Args:
        values: of each defense its APs under the attack [seeds, queries], or [queries] of one seed.
        unranked: why defenses are not ranked.
        name: of the folder; made of the subject by default.
        tuned: defenses whose values were chosen by trials.
        subject: fields that differ from SUBJECT, and the access of the attack.
    """
    about = {**SUBJECT, **subject}
    about.setdefault("access", "white")
    folder = out / (name or "-".join(str(about[n]) for n in ("dataset", "method", "bits", "norm", "access")))
    (folder / "queries").mkdir(parents=True)
    results: list[dict[str, Any]] = []
    ranking: list[dict[str, Any]] = []
    for label, given in values.items():
        worst = np.atleast_2d(np.asarray(given, dtype=np.float64))
        for seed, row in enumerate(worst):
            for attack, held in (("none", np.full(len(row), CLEAN)), (SET, row)):
                key = f"{len(results):04}".ljust(16, "f")
                np.savez(folder / "queries" / f"{key}.npz", average_precision=held)
                access = "none" if attack == "none" else about["access"]
                cell = {"defense": label, "attack": attack, "seed": seed, "config_digest": key, "map": np.nanmean(held)}
                results.append({**about, **cell, "access": access, "tuned": "t" * 16 if label in tuned else ""})
        ranking.append(_ranking_row(label, worst, (unranked or {}).get(label, "ranked"), attack_set))
    ranking.sort(key=lambda row: -float(row["map_worst"]))
    for file, rows in (("results", results), ("ranking", ranking)):
        _write(folder / f"{file}.csv", rows)
    write_digests(folder, FolderDigests({}, ranking=RANKING_VERSION))
    return folder


def _ranking_row(label: str, worst: NDArray[np.float64], status: str, attack_set: str) -> dict[str, Any]:
    mean = float(np.minimum(worst, CLEAN)[:, ~np.isnan(worst).any(axis=0)].mean())
    return {
        "defense": label, "seeds": " ".join(map(str, range(len(worst)))), "attacks": SET, "map_clean": CLEAN,
        "map_worst": round(mean, 6), "ci_low": round(mean - 0.02, 6), "ci_high": round(mean + 0.02, 6),
        "attack_set": attack_set, "status": status,
    }  # fmt: skip


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
