"""Studies: what their tables say of invented cells, and a small one from the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command import Command

from hashbench.api.study import Study, first_defense, studies
from hashbench.datasets.digits import digits
from hashbench.models.data import ImageSet
from hashbench.running.request import Request
from hashbench.running.store import Result
from hashbench.running.tuning import with_queries

QUERIES, VALIDATION = 6, 4  # the validation queries come first, then images of the training set
DIGITS = digits()
FEW = replace(DIGITS, validation=ImageSet(DIGITS.validation.images[:VALIDATION], DIGITS.validation.labels[:VALIDATION]))
APS = {  # by defense, seed and attack
    ("base", 0, "none"): [0.9, 0.9, 0.9, 0.9, 1, 1],
    ("base", 0, "noise"): [0.5, 0.6, 0.7, 0.8, 0.9, 0.7],
    ("base", 0, "pgd-hamming"): [0.6, 0.5, 0.7, 0.7, 0.8, 0.8],
    ("base", 0, "standard-2"): [0.4, 0.4, 0.4, 0.4, 0.6, 0.6],
    ("mine", 0, "none"): [1, 1, 1, np.nan, 1, 1],
    ("mine", 0, "noise"): [0.5, 0.7, 0.9, np.nan, 1, 1],
    ("mine", 0, "pgd-hamming"): [0.7, 0.7, 0.9, np.nan, 1, 1],
    ("mine", 0, "standard-2"): [0.6, 0.7, 0.8, np.nan, 1, 1],
    ("mine", 1, "none"): [1, 1, 1, 1, 1, 1],
}


def cell(defense: str, seed: int, attack: str, **more: str) -> Result:
    identity = {
        "dataset": "digits", "backbone": "cnn", "method": "csq", "bits": 32, "norm": "linf", "eps": 0.1,
        "split_digest": "d", "training": "clean", "index": "reindexed", "defense": defense, "seed": seed,
        "attack": attack, "access": "white", "attacker": "adaptive", "goal": "untargeted", "schema_version": 1,
        "protocol_version": 1, "versions": {},
    }  # fmt: skip
    numbers = {"train_forwards": 10.0, "train_backwards": 8.0 + seed}
    return Result(f"{defense}{seed}{attack}", identity, numbers, {"train_seconds": 5.0, "created_utc": "2026"}, **more)


def study_of(cells: list[Result]) -> Study:
    known = {f"{defense}{seed}{attack}": np.array(values) for (defense, seed, attack), values in APS.items()}
    (found,) = studies(cells, lambda r: {"average_precision": known[r.key]}, {"d": FEW}, "base")
    return found


def test_each_subject_and_threat_is_compared_with_the_first_defense_asked_for_on_it() -> None:
    def cells(**place: object) -> list[Result]:
        found = [cell(defense, 0, "none") for defense in ("none", "base", "saat")]
        return [replace(r, key=f"{r.key} {place}", identity={**r.identity, "eps": 32 / 255, **place}) for r in found]

    asked = [
        Request(defenses=("saat", "cgat")), Request(defenses=("none",), bits=64),
        Request(defenses=("cgat:weight=3", "saat"), bits=16), Request(defenses=("saat",), bits=16),
        Request(defenses=("lap", "saat"), eps="8/255"), Request(defenses=("s3",), norm="l2", eps="0.5"),
    ]  # fmt: skip
    results = [*cells(), *cells(bits=16), *cells(eps=8 / 255), *cells(norm="l2", eps=0.5), *cells(bits=64)]
    found = studies(results, lambda _: {"average_precision": np.ones(QUERIES)}, {"d": FEW}, asked)
    places = {study.reference: study.board.results[0].identity for study in found}
    assert {name: (one["bits"], one["norm"], one["eps"]) for name, one in places.items()} == {
        "saat": (32, "linf", 32 / 255), "cgat:weight=3": (16, "linf", 32 / 255), "none": (64, "linf", 32 / 255),
        "lap": (32, "linf", 8 / 255), "s3": (32, "l2", 0.5),
    }  # fmt: skip
    assert first_defense([Request()], results[0].identity, FEW) == "none"


def test_tables_are_means_of_lowest_aps_and_paired_differences() -> None:
    found = study_of([cell(*place) for place in APS if place[1] == 0])
    base, mine = found.seeds_table().to_dict("records")
    assert [base[name] for name in ("map_clean", "map_fast", "map_full")] == pytest.approx([0.9, 0.6, 0.4])
    assert [base[name] for name in ("train_clean", "train_fast", "train_full")] == pytest.approx([1, 0.75, 0.6])
    assert [mine[name] for name in ("map_fast", "map_full")] == pytest.approx([0.7, 2 / 3], abs=1e-6)
    assert [base[name] for name in ("passes", "seconds")] == [18, 5]
    variants = found.variants_table()
    assert variants["defense"].tolist() == ["mine", "base"]
    mine, base = variants.to_dict("records")
    assert base["gap"] == pytest.approx(0.15)
    # over the three queries that have an AP in both
    assert mine["delta_fast"] == pytest.approx(np.mean([0, 0.2, 0.2]), abs=1e-6)
    assert mine["delta_full"] == pytest.approx(np.mean([0.1, 0.3, 0.4]), abs=1e-6)
    assert mine["delta_full_low"] < mine["delta_full"] < mine["delta_full_high"]
    assert base["delta_full"] is None


def test_what_was_not_measured_is_empty() -> None:
    found = study_of([cell(*place) for place in APS if "standard-2" not in place])
    row = found.variants_table().set_index("defense").loc["mine"]
    assert row["seeds"] == "0 1"
    assert row["map_full"] is None
    assert row["delta_full"] is None
    assert row["passes"] == 18.5
    broken = [cell("mine", 2, "none", status="invalid", reason="diverged"), *(cell(*p) for p in APS if p[0] == "base")]
    wrong = study_of(broken).seeds_table().set_index("defense").loc["mine"]
    assert wrong["note"] == "invalid under none, seed 2: diverged"
    assert wrong["map_clean"] is None


def test_a_study_takes_validation_queries_and_training_images_of_their_own_number() -> None:
    split = digits()
    found, again = (with_queries(split, "study") for _ in range(2))
    count = len(split.validation)
    whole = torch.arange(len(found.queries))
    assert len(whole) == 2 * count
    assert torch.equal(found.queries.images[whole], again.queries.images[whole])
    assert torch.equal(found.queries.labels[:count], split.validation.labels)
    train = {image.numpy().tobytes() for image in split.train.images[torch.arange(len(split.train))]}
    assert {image.numpy().tobytes() for image in found.queries.images[whole[count:]]} <= train
    assert len({split.digest, found.digest, with_queries(split, "validation").digest}) == 3


SUITE = """
[[run]]
dataset = "digits"
training = "epochs=1"
seed = [1000]
defense = ["cgat:epochs=1,steps=1", "cgat:epochs=1,steps=1,ema=0.5"]
attack = ["pgd-hamming:steps=2,restarts=1"]
"""


def test_the_command_writes_both_tables_and_resumes(command: Command) -> None:
    Path("variants.toml").write_text(SUITE)
    outcome = command("study", "variants.toml")
    assert outcome.code == 0, outcome.err
    assert "differences from cgat:epochs=1,steps=1" in outcome.out
    tables = [pd.read_csv(Path("study") / name) for name in ("seeds.csv", "variants.csv")]
    assert set(tables[0]["defense"]) == {"none", "cgat:epochs=1,steps=1", "cgat:epochs=1,ema=0.5,steps=1"}
    assert set(tables[1]["defense"]) == set(tables[0]["defense"])
    assert tables[0]["map_fast"].between(0, 1).all()
    before = Path("study/seeds.csv").read_bytes()
    again = command("study", "variants.toml", "--reference", "none")
    assert "training" not in again.log
    assert "differences from undefended" in again.out
    assert Path("study/seeds.csv").read_bytes() == before
    assert not list(Path("runs/cells").glob("*"))  # trials lie in a store of their own


def test_a_study_refuses_what_it_cannot_compare(command: Command) -> None:
    missing = command("study", "nothing.toml")
    assert (missing.code, missing.out) == (2, "")
    assert "there is no file nothing.toml" in missing.err
    Path("variants.toml").write_text(SUITE)
    assert "no defense is named 'cgta'" in command("study", "variants.toml", "--reference", "cgta").err
    assert command("study", "variants.toml", "--reference", "saat").err == (
        "error: the reference saat is not among the variants of variants.toml; "
        "take one of none, cgat:epochs=1,steps=1, cgat:epochs=1,ema=0.5,steps=1\n"
    )
    assert not Path("runs").exists()
