"""Results of cells, made of invented numbers, and images that single queries retrieve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hashbench.boards.certificates import DefenseCertificate
from hashbench.boards.examples import SHOWN, Picture, Retrieved
from hashbench.boards.intervals import ConfidenceInterval
from hashbench.boards.leaderboard import Leaderboard, leaderboards
from hashbench.boards.ranking import RankingRow
from hashbench.running.store import Result, Store

NUMBERS = {"map_low": 0.1, "map_high": 0.9, "chance_map": 0.3, "n_queries": 10, "n_database": 50}


def result(defense: str, attack: str, value: float | None, seed: int = 0, **changes: object) -> Result:
    identity = {
        "dataset": "digits", "split_digest": "d" * 16, "backbone": "cnn", "method": "csq", "training": "clean",
        "bits": 32, "norm": "linf", "eps": 8 / 255, "seed": seed, "defense": defense, "attack": attack,
        "attack_params": {"steps": 5} if attack == "pgd" else {}, "goal": "untargeted", "access": "white",
        "attacker": "adaptive", "schema_version": 1, "protocol_version": 1, "index": "reindexed",
    } | changes  # fmt: skip
    key = f"{defense}-{attack}-{seed}-{len(changes)}"
    host = {"created_utc": "2026-01-01T00:00:00+00:00"}
    if value is None:
        return Result(key, identity, {}, host, "invalid", "it broke")
    return Result(key, identity, {**NUMBERS, "map": value}, host)


COMPARED = {
    "dataset": "digits", "split_digest": "d" * 16, "backbone": "cnn", "method": "csq", "training": "clean", "bits": 32,
    "norm": "linf", "eps": 8 / 255, "index": "reindexed", "goal": "untargeted", "tuned": "",
}  # fmt: skip
LEVELS = {"none": 0.9, "pgd-hamming": 0.5, "hag": 0.4}


def save(store: Store, defense: str, attack: str, level: float, seed: int = 0, **changes: Any) -> None:
    random = np.random.default_rng([seed, len(attack)])
    values = np.clip(level + random.normal(0, 0.1, 40), 0, 1)
    values[3] = np.nan
    identity = {**COMPARED, "defense": defense, "attack": attack, "seed": seed, **changes}
    numbers = {"map": float(np.nanmean(values)), "train_forwards": 10 if defense == "none" else 40}
    key = f"{defense}-{attack}-{seed}-{len(changes)}".replace(":", "_")
    store.save_cell(Result(key, identity, numbers, {"created_utc": "now"}), {"average_precision": values})


SHOWN_CELL = {
    "dataset": "digits", "backbone": "cnn", "method": "csq", "bits": 16, "defense": "none", "attack": "noise",
    "norm": "linf", "eps": 8 / 255, "seed": 0,
}  # fmt: skip


def picture(shade: float) -> Picture:
    return np.full((4, 4), shade, np.float32)


def retrieved(right: tuple[bool, ...], tied: int, precision: float) -> Retrieved:
    return Retrieved(tuple(map(picture, np.linspace(0, 1, SHOWN))), right, tuple(range(SHOWN)), tied, precision)


OF_TARGETS = {"t_map": 0.7, "t_map_low": 0.6, "t_map_high": 0.8, "t_chance_map": 0.1}


def matrix(names: Sequence[str], chance: float = 0.3) -> tuple[Leaderboard, list[RankingRow]]:
    """Three defenses and two seeds, with invalid, missing and low squares."""
    levels = {"none": 0.9, "mine:steps=3": 0.6, "other": 0.25}
    results = [
        replace(made, numbers={**made.numbers, **OF_TARGETS, "chance_map": chance})
        for defense, level in levels.items() for place, attack in enumerate(names) for seed in (0, 1)
        for made in [result(defense, attack, level - 0.01 * place + 0.02 * seed, seed,
                            goal="targeted" if attack == "dhta" else "untargeted")]
        if (defense, attack) != ("other", "noise")
    ]  # fmt: skip
    results += [result(defense, "broken", None, seed) for defense in levels for seed in (0, 1)]
    (made,) = leaderboards(results)
    interval = ConfidenceInterval(0.5, 0.4, 0.6, 0.5)
    sure = DefenseCertificate(values=np.full((1, 4), 0.2), free=np.ones((1, 4)), interval=interval)
    rows = [
        RankingRow("other", "ranked", "", worst=np.full((1, 4), 0.6), interval=interval, certificate=sure),
        RankingRow("none", "ranked", "", worst=np.full((1, 4), 0.3)),
    ]
    return made, rows
