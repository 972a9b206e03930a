"""Leaderboards' folders with every table, made of invented numbers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashbench.metrics.average_precision import average_precision, chance
from hashbench.metrics.distance_counts import Counts, count

# mAP clean and under attack, status and flags.
DEFENSES: dict[str, tuple[float, float, str, str]] = {
    "none": (0.95, 0.25, "below chance", ""),
    "cgat": (0.88, 0.62, "ranked", ""),
    "saat:learning_rate=0.02,weight=3": (0.86, 0.6, "ranked", ""),
    "bit-depth": (0.94, 0.9, "flagged", "zero_gradient black_box_beats_white_box"),
    "mine": (0.8, 0.41, "ranked", "high_tie_mass"),
    "broken": (0.7, 0.0, "invalid", ""),
}
ATTACKS = ("none", "noise", "pgd-hamming", "hag", "dhta")
BITS, QUERIES, ITEMS, CLASSES = 16, 40, 200, 5
HOST = {
    "attack_seconds": 3.0, "package_version": "0.1.0", "code_commit": "e" * 40, "code_dirty": False, "python": "3.11",
    "torch": "2.14", "numpy": "2.4", "created_utc": "2026-01-01T00:00:00+00:00", "command": "hashbench run",
}  # fmt: skip
SCRIPT = "<script>window.broken = 1</script>"  # what no table may bring into the page


def make_board(out: Path, dataset: str = "digits", *, whole: bool = True, bits: int = BITS) -> Path:
    """Write a leaderboard's folder.

    Args:
        whole: with ranking, sanity, curve and the queries' counts, not only results and provenance.
    """
    folder = out / f"{dataset}-cnn-csq-{bits}bit-linf-32-255"
    folder.mkdir(parents=True)
    results, provenance = [], []
    for defense in DEFENSES:
        for attack in ATTACKS:
            for seed in (0, 1):
                row, found = _cell(defense, attack, seed, dataset, bits)
                results.append(row)
                provenance.append({"defense": defense, "attack": attack, "seed": seed, **HOST})
                if whole:
                    (folder / "queries").mkdir(exist_ok=True)
                    path = folder / "queries" / f"{row['config_digest']}.npz"
                    np.savez_compressed(path, items=found.items, relevant=found.relevant)
    tables = {"results": results, "provenance": provenance}
    tables |= {"ranking": _ranking(), "sanity": _sanity(), "curve": _curve(32 / 255)} if whole else {}
    for name, rows in tables.items():
        _write(folder / f"{name}.csv", rows)
    return folder


def stub_pictures(folder: Path) -> None:
    """Put small SVG files where a leaderboard's pictures belong, and a gallery of one defense."""
    for name in ("matrix", "curve", "tradeoff", "precision-recall", "gallery-cgat--hag--seed0"):
        (folder / f"{name}.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="480" height="300"><text y="20">{name}</text></svg>\n'
        )


def _cell(defense: str, attack: str, seed: int, dataset: str, bits: int) -> tuple[dict[str, Any], Counts]:
    clean, robust, *_ = DEFENSES[defense]
    targeted = attack == "dhta"
    key = f"{list(DEFENSES).index(defense):02}{ATTACKS.index(attack)}{seed}{bits:03}".ljust(16, "f")
    row: dict[str, Any] = {
        "schema_version": 1, "protocol_version": 1, "dataset": dataset, "split_digest": "d" * 16, "backbone": "cnn",
        "method": "csq", "training": "clean", "bits": bits, "norm": "linf", "eps": 0.12549, "seed": seed,
        "defense": defense, "attack": attack, "attack_params": '{"steps": 5}', "defense_params": "{}", "tuned": "",
        "goal": "targeted" if targeted else "untargeted", "access": "none" if attack in ("none", "noise") else "white",
        "attacker": "adaptive", "index": "reindexed", "config_digest": key, "status": "valid", "reason": "",
    }  # fmt: skip
    found = _counts(clean if attack in ("none", "noise") else robust, [seed, *defense.encode(), len(attack)])
    ap = average_precision(found)
    numbers: dict[str, Any] = {
        "map": ap.expected.mean(), "map_low": ap.low.mean(), "map_high": ap.high.mean(),
        "chance_map": chance(found).mean(), "relevant_fraction": 1 / CLASSES, "n_queries": QUERIES,
        "n_database": ITEMS, "linf_max": 0.12549, "map_8bit": ap.expected.mean(), "model_digest": "a" * 16,
        "codes_digest": "c" * 16, "t_map": "", "t_map_low": "", "t_map_high": "", "t_chance_map": "",
    }  # fmt: skip
    if targeted:
        numbers |= {"t_map": 0.7, "t_map_low": 0.6, "t_map_high": 0.8, "t_chance_map": 0.2}
    if defense == "broken" and attack == "hag":
        numbers = dict.fromkeys(numbers, "")
        row |= {"status": "invalid", "reason": f"the attack left the budget {SCRIPT}"}
    return row | numbers, found


def _counts(level: float, seed: list[int]) -> Counts:
    """Counts of codes that lie the nearer to their class the higher the level in [0, 1] is."""
    random = np.random.default_rng(seed)
    classes = [np.arange(size) % CLASSES for size in (QUERIES, ITEMS)]
    centers = random.random((CLASSES, BITS)) < 0.5
    queries = centers[classes[0]] ^ (random.random((QUERIES, BITS)) < 0.5 * (1 - level))
    items = centers[classes[1]] ^ (random.random((ITEMS, BITS)) < 0.1)
    labels = np.eye(CLASSES, dtype=bool)
    return count(queries, labels[classes[0]], items, labels[classes[1]])


def _ranking() -> list[dict[str, Any]]:
    rows = []
    ordered = sorted(DEFENSES.items(), key=lambda item: -item[1][1])
    rank = 0
    for defense, (clean, worst, status, flags) in ordered:
        ranked = status == "ranked"
        rank += ranked
        notes = {"below chance": "worst case below chance", "flagged": "its gradients are masked", "invalid": "a cell"}
        delta = {"delta_vs_cgat": round(worst - 0.62, 6), "delta_ci_low": worst - 0.66, "delta_ci_high": worst - 0.58}
        rows.append({
            "rank": rank if ranked else "", "defense": defense, "seeds": "0 1", "map_clean": clean,
            "map_worst": "" if status == "invalid" else worst, "ci_low": worst - 0.03, "ci_high": worst + 0.02,
            "worst_attack": "hag", "attack_set": "standard-1" if ranked else "custom",
            "attack_set_digest": "b" * 16, "attacks": "hag pgd-hamming noise",
            **(dict.fromkeys((*delta, "p_holm"), "") if defense == "cgat" else {**delta, "p_holm": 0.04}),
            "rank_group": min(rank, 2) if ranked else "", "chance_map": 0.2, "constant_map": 0.2, "n_queries": QUERIES,
            "train_cost": 8.5, "flags": flags, "status": status, "note": notes.get(status, ""),
        })  # fmt: skip
    return rows


def _sanity() -> list[dict[str, Any]]:
    return [
        {"defense": defense, "seed": seed, "flags": flags, "zero_gradient_share": 0.5 if flags else 0.0}
        for defense, (*_, flags) in DEFENSES.items()
        for seed in (0, 1)
    ]


def _curve(eps: float) -> list[dict[str, Any]]:
    budgets: Sequence[float] = (0, eps / 4, eps / 2, eps, 2 * eps, 4 * eps, 1)
    rows = []
    for defense, (clean, worst, *_) in DEFENSES.items():
        slope = np.log(max(clean, 0.01) / max(worst, 0.02)) / eps
        for seed in (0, 1):
            for budget in budgets:
                value = 0.15 + (clean - 0.15) * float(np.exp(-slope * budget)) - 0.01 * seed
                rows.append({
                    "defense": defense, "seed": seed, "eps": round(budget, 6), "map": round(value, 6),
                    "ci_low": round(value - 0.02, 6), "ci_high": round(value + 0.02, 6), "n_queries": QUERIES,
                })  # fmt: skip
    return rows


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
