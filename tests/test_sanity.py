from __future__ import annotations

import csv
import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import planted
import pytest
import torch
from torch import Tensor, nn

from hashbench import checks, registry, sanity
from hashbench.data import Victim
from hashbench.evaluation import Verdict, make_victim
from hashbench.flags import FLAGS, curve, raised
from hashbench.model import HashModel
from hashbench.ranking import DISQUALIFYING
from hashbench.request import Request, load_once
from hashbench.runner import Bench, Row, run
from hashbench.spec import Spec
from hashbench.store import Result, Store
from hashbench.threat import Threat

NARROW = 2 / 255  # a budget within which digits can't be broken
Plant = Callable[[nn.Module], nn.Module]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Victim]:
    """An undefended model of digits."""
    from hashbench.checkpoints import Checkpoints

    store = Store(tmp_path_factory.mktemp("store"))
    bench = Bench(store, torch.device("cpu"), Checkpoints(store))
    (cell,) = Request(training="epochs=6").resolve().cells(load_once())
    row = bench.row(cell)
    assert isinstance(row, Row)
    return bench, row.victim


def probe(digits: tuple[Bench, Victim], plant: Plant, eps: float = 32 / 255) -> Verdict:
    bench, undefended = digits
    (split,) = bench.splits.values()
    victim = make_victim(planted.planted(undefended.model, plant), split.train, split.database)
    black_box = registry.attacks.choose(Spec.parse("square-hamming:steps=20"))
    return sanity.probe(
        victim, sanity.sample(split.queries, 0), Threat(eps), 0, black_box=black_box, undefended=undefended
    )


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sanity, "QUERIES", 40)
    monkeypatch.setattr(sanity, "STEPS", 10)
    monkeypatch.setattr(sanity, "TRAIN", 200)


@pytest.mark.parametrize(
    ("plant", "eps", "flag"),
    [
        (planted.left_in_train_mode, 32 / 255, "train_mode"),
        (planted.noisy, 32 / 255, "stochastic"),
        (planted.dead, 32 / 255, "collapsed_codes"),
        (planted.few_bits, 32 / 255, "high_tie_mass"),
        (planted.quantised, 32 / 255, "zero_gradient"),
        (planted.detached, 32 / 255, "zero_gradient"),
        (planted.steep, 32 / 255, "saturated"),
        (planted.right_on_the_grid, 32 / 255, "more_steps_do_worse"),
        (planted.right_nearby, 32 / 255, "more_budget_does_worse"),
        (planted.reversed_, 32 / 255, "black_box_beats_white_box"),
        (planted.reversed_, NARROW, "unbounded_not_broken"),
        (planted.Brittle, 32 / 255, "noise_as_strong"),
    ],
)
def test_each_planted_defense_raises_its_flag_and_no_other(
    digits: tuple[Bench, Victim], plant: Plant, eps: float, flag: str
) -> None:
    found = probe(digits, plant, eps)
    assert raised(found.numbers, found.arrays) == [flag]


def test_an_undefended_model_raises_none_and_breaks_as_the_budget_grows(digits: tuple[Bench, Victim]) -> None:
    found = probe(digits, lambda network: network)
    assert raised(found.numbers, found.arrays) == []
    budgets, left = curve(found.arrays)
    assert budgets == pytest.approx([0, 8 / 255, 16 / 255, 32 / 255, 64 / 255, 128 / 255, 1])
    assert np.array_equal(left[0], found.arrays["clean"])
    assert (np.diff(left, axis=0) <= 0).all()
    assert left[-1].mean() <= found.arrays["chance"].mean()


def test_a_probe_of_any_budget_has_a_curve_from_0_to_1(digits: tuple[Bench, Victim]) -> None:
    for eps in (0.0, 0.5, 1.0):
        assert sanity.budgets_of(Threat(eps))[-1] == 1
        assert eps in sanity.budgets_of(Threat(eps))
    found = probe(digits, lambda network: network, eps=0.0)
    budgets, left = curve(found.arrays)
    assert budgets == [0.0, 0.0, 1.0]
    assert np.array_equal(left[0], left[1])
    assert raised(found.numbers, found.arrays) == []


def test_flags_of_several_seeds_are_named_once_with_their_seeds() -> None:
    found = [
        checks.Check("mine", 0, ("saturated",), {}, ()),
        checks.Check("mine", 1, ("stochastic", "saturated"), {}, ()),
        checks.Check("yours", 0, ("not_probed",), {}, (), "it raised"),
    ]
    assert checks.flags_of(found) == {"mine": ["stochastic", "saturated"], "yours": ["not_probed"]}
    said = checks.lines(found)
    assert [line.split(": ")[:3] for line in said[:2]] == [
        ["flag", "mine, seed 1", "stochastic"], ["flag", "mine, seeds 0, 1", "saturated"],
    ]  # fmt: skip
    assert said[2:] == ["not_probed: yours, seed 0: it raised"]


class Shy(nn.Module):
    """A network that fails where a probe asks it to scale its logits, and nowhere else."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        if any(frame.function == "see" for frame in inspect.stack()):
            raise ValueError("not now")
        found: Tensor = self.network(images)
        return found


def test_a_model_that_can_t_be_probed_has_no_rank(digits: tuple[Bench, Victim], tmp_path: Path) -> None:
    _, victim = digits
    (cell,) = Request(training="epochs=6").resolve().cells(load_once())
    split = cell.subject.split
    shy = make_victim(HashModel(Shy(victim.model.network), victim.model.bits), split.train, split.database)
    probe, arrays = checks.measure(cell, split, shy, None, {"model_digest": "m"}, {})
    assert "ValueError" in probe.reason
    found = checks.check_of(probe, arrays)
    assert found.flags == ("not_probed",)
    checks.write_checks([found], tmp_path)
    (row,) = list(csv.DictReader((tmp_path / "sanity.csv").read_text().splitlines()))
    assert (row["defense"], row["flags"], row["map_clean"]) == ("none", "not_probed", "")
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 1
    assert "not_probed" in DISQUALIFYING


def test_each_flag_says_what_it_means_and_what_to_do() -> None:
    assert all("\n" not in flag.meaning + flag.advice and flag.meaning and flag.advice for flag in FLAGS.values())


def test_a_probe_is_kept_and_counts_for_its_model_alone(digits: tuple[Bench, Victim], tmp_path: Path) -> None:
    bench, _ = digits
    (cell,) = Request(training="epochs=6").resolve().cells(load_once())
    (result,) = run([cell], bench.store, bench.device, probing=True)
    (kept,) = bench.store.probes()
    from hashbench.leaderboard import leaderboards

    (board,) = leaderboards([result])
    (check,) = checks.checks_of(board, bench.store)
    assert (check.defense, check.seed, check.flags) == ("none", 0, ())
    checks.write_checks([check], tmp_path)
    lines = (tmp_path / "sanity.csv").read_text().splitlines()
    assert lines[0].split(",")[:3] == ["defense", "seed", "flags"]
    assert len(lines) == 2
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 8
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    bench.probe(cell)
    checks.write_checks(checks.checks_of(board, bench.store), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    other = Result(**{**vars(kept), "numbers": {**kept.numbers, "model_digest": "another"}})
    bench.store.save_probe(other, bench.store.probe_arrays(kept))
    assert checks.checks_of(board, bench.store) == []
