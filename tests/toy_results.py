"""Results of cells, made of invented numbers, and images that single queries retrieve."""

from __future__ import annotations

from typing import Any

import numpy as np

from hashbench.boards.examples import SHOWN, Picture, Retrieved
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
