from __future__ import annotations

import csv
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hashbench.boards.probe_tables import ProbeReport, flags_of, lines, report_of, reports_of, tables
from hashbench.boards.ranking import DISQUALIFYING
from hashbench.boards.tables import write_table
from hashbench.evaluation import probe as probing
from hashbench.evaluation.budgets import budgets_of
from hashbench.evaluation.flags import FLAGS, curve, is_above, raised, white_box
from hashbench.evaluation.judge import Measurement, make_victim
from hashbench.evaluation.new_images import new_images
from hashbench.models.data import Victim
from hashbench.models.model import HashModel
from hashbench.models.transformed import straight_through
from hashbench.registry import entries
from hashbench.registry.spec import Spec
from hashbench.running import probes
from hashbench.running.request import Request, load_once
from hashbench.running.runner import Runner, run
from hashbench.running.store import Result, Store
from hashbench.running.victims import DefendedModel
from hashbench.threat import Threat

BITS, THREAT = 32, Threat(32 / 255)
NARROW = 2 / 255  # a budget within which digits can't be broken
Plant = Callable[[nn.Module], nn.Module]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, Victim]:
    """An undefended model of digits."""
    runner = Runner(Store(tmp_path_factory.mktemp("store")), torch.device("cpu"))
    (cell,) = Request(training="epochs=6").resolve().cells(load_once())
    model = runner.victims.defended(cell)
    assert isinstance(model, DefendedModel)
    return runner, model.victim


def write(reports: Sequence[ProbeReport], folder: Path) -> None:
    for name, table in tables(reports).items():
        write_table(folder / f"{name}.csv", table)


def probe(digits: tuple[Runner, Victim], plant: Plant, threat: Threat = THREAT) -> Measurement:
    runner, undefended = digits
    (split,) = runner.victims.splits.values()
    victim = make_victim(planted.planted(undefended.model, plant), split.train, split.database)
    black_box = entries.attacks.choose(Spec.parse("square-hamming:steps=20"))
    return probing.probe(
        victim, probing.sample(split.queries, 0), threat, 0, black_box=black_box, undefended=undefended
    )


# In train mode values are of another batch's statistics than gradients, by a little more or less on each processor.
MAY_COME_WITH = {"train_mode": ("gradient_disagrees",)}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "QUERIES", 40)
    monkeypatch.setattr(probing, "STEPS", 10)
    monkeypatch.setattr(probing, "TRAIN", 200)


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
    digits: tuple[Runner, Victim], plant: Plant, eps: float, flag: str
) -> None:
    found = probe(digits, plant, Threat(eps))
    names = raised(found.numbers, found.arrays, BITS)
    assert [name for name in names if name not in MAY_COME_WITH.get(flag, ())] == [flag]


class Distant(nn.Module):
    """A network whose values no gradient tells of: it sees the mean of each image's surroundings."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        seen: Tensor = self.network(images)
        told = self.network(functional.avg_pool2d(images, 3, 1, 1))
        mixed: Tensor = seen.detach() + told - told.detach()
        return mixed


def test_a_gradient_of_another_function_and_a_look_up_disagree_with_values(digits: tuple[Runner, Victim]) -> None:
    found = probe(digits, Distant)
    assert found.arrays["wrong_gradient"].mean() > 0.2
    tiny = probe(digits, lambda network: planted.Back(network, lambda logits: 1e-44 * logits))
    assert raised(tiny.numbers, tiny.arrays, BITS) == ["outputs_do_not_move"]
    scaled = probe(digits, lambda network: planted.Back(network, lambda logits: 1e-3 * logits))
    assert raised(scaled.numbers, scaled.arrays, BITS) == []
    declared = probe(digits, lambda network: planted.Front(straight_through(lambda images: images.round()), network))
    assert declared.arrays["wrong_gradient"].max() == 0


def test_images_in_no_file_lie_outside_the_budget_and_repeat_by_their_seed(digits: tuple[Runner, Victim]) -> None:
    (split,) = digits[0].victims.splits.values()
    queries = probing.sample(split.queries, 0)
    one, again, other = (new_images(queries, Threat(32 / 255), seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert ((one >= 0) & (one <= 1)).all()
    assert ((one - queries.images[torch.arange(len(queries))]).flatten(1).abs().amax(1) > 32 / 255).all()


def test_a_table_above_the_probe_is_found_and_an_old_probe_is_not_judged(digits: tuple[Runner, Victim]) -> None:
    found = probe(digits, lambda network: network)
    rows = found.arrays["rows"]
    table = np.ones(300)
    assert is_above(table, found.arrays)
    table[rows] = white_box(found.arrays)
    assert not is_above(table, found.arrays)
    new = ("rows", "new", "new_attacked", "still", "wrong_gradient")
    old = {name: value for name, value in found.arrays.items() if name not in new}
    assert not is_above(np.ones(300), old)
    assert raised(found.numbers, old, BITS) == []


def test_an_undefended_model_raises_none_and_breaks_as_the_budget_grows(digits: tuple[Runner, Victim]) -> None:
    found = probe(digits, lambda network: network)
    assert raised(found.numbers, found.arrays, BITS) == []
    budgets, left = curve(found.arrays)
    assert budgets == pytest.approx([0, 8 / 255, 16 / 255, 32 / 255, 64 / 255, 128 / 255, 1])
    assert np.array_equal(left[0], found.arrays["clean"])
    assert (np.diff(left, axis=0) <= 0).all()
    assert left[-1].mean() <= found.arrays["chance"].mean()


def test_a_probe_of_any_budget_has_a_curve_from_0_to_1(digits: tuple[Runner, Victim]) -> None:
    for eps in (0.0, 0.5, 1.0):
        assert budgets_of(Threat(eps))[-1] == 1
        assert eps in budgets_of(Threat(eps))
    wide = probe(digits, lambda network: network, Threat(10.0, "l2"))
    assert curve(wide.arrays)[0] == [0, 2, 4, 8]
    found = probe(digits, lambda network: network, Threat(0.0))
    budgets, left = curve(found.arrays)
    assert budgets == [0.0, 0.0, 1.0]
    assert np.array_equal(left[0], left[1])
    assert raised(found.numbers, found.arrays, BITS) == []


def test_flags_of_several_seeds_are_named_once_with_their_seeds() -> None:
    found = [
        ProbeReport("mine", 0, ("saturated",), {}, ()),
        ProbeReport("mine", 1, ("stochastic", "saturated"), {}, ()),
        ProbeReport("yours", 0, ("not_probed",), {}, (), "it raised"),
    ]
    assert flags_of(found) == {"mine": ["stochastic", "saturated"], "yours": ["not_probed"]}
    said = lines(found)
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


def test_a_model_that_can_t_be_probed_has_no_rank(digits: tuple[Runner, Victim], tmp_path: Path) -> None:
    _, victim = digits
    (cell,) = Request(training="epochs=6").resolve().cells(load_once())
    split = cell.subject.split
    shy = make_victim(HashModel(Shy(victim.model.network), victim.model.bits), split.train, split.database)
    probe, arrays = probes.measure(cell, split, shy, None, {"model_digest": "m"}, {})
    assert "ValueError" in probe.reason
    found = report_of(probe, arrays)
    assert found.flags == ("not_probed",)
    write([found], tmp_path)
    (row,) = list(csv.DictReader((tmp_path / "sanity.csv").read_text().splitlines()))
    assert (row["defense"], row["flags"], row["map_clean"]) == ("none", "not_probed", "")
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 1
    assert "not_probed" in DISQUALIFYING


def test_a_probe_that_failed_by_an_exception_is_tried_again(digits: tuple[Runner, Victim], tmp_path: Path) -> None:
    _, victim = digits
    (cell,) = Request(training="epochs=6").resolve().cells(load_once())
    store, split = Store(tmp_path), cell.subject.split
    shy = make_victim(HashModel(Shy(victim.model.network), victim.model.bits), split.train, split.database)
    store.save_probe(*probes.measure(cell, split, shy, None, {"model_digest": "m"}, {}))
    (kept,) = store.probes()
    assert "ValueError" in kept.reason
    assert probes.kept_probe(cell, store) is None
    store.save_probe(replace(kept, reason="codes are constant", host={}), {})
    assert probes.kept_probe(cell, store) is not None, "what will not change is not tried again"


def test_each_flag_says_what_it_means_and_what_to_do() -> None:
    assert all("\n" not in flag.meaning + flag.advice and flag.meaning and flag.advice for flag in FLAGS.values())


def test_a_probe_is_kept_and_counts_for_its_model_alone(digits: tuple[Runner, Victim], tmp_path: Path) -> None:
    runner, _ = digits
    (cell,) = Request(training="epochs=6").resolve().cells(load_once())
    (result,) = run([cell], runner.store, runner.device, probing=True)
    (kept,) = runner.store.probes()
    from hashbench.boards.leaderboard import leaderboards

    (board,) = leaderboards([result])
    (report,) = reports_of(board, runner.store)
    assert (report.defense, report.seed, report.flags) == ("none", 0, ())
    write([report], tmp_path)
    written = (tmp_path / "sanity.csv").read_text().splitlines()
    assert written[0].split(",")[:3] == ["defense", "seed", "flags"]
    assert len(written) == 2
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 8
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    runner.probe(cell)
    write(reports_of(board, runner.store), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    tuned = Result(**{**vars(result), "identity": {**result.identity, "tuned": "t" * 16}})
    (again,) = reports_of(leaderboards([tuned])[0], runner.store)
    assert again == report, "the trials that chose a model's values make it no other model"
    other = Result(**{**vars(kept), "numbers": {**kept.numbers, "model_digest": "another"}})
    runner.store.save_probe(other, runner.store.probe_arrays(kept))
    (report,) = reports_of(board, runner.store)
    assert report.flags == ("not_probed",)
    assert "its probe found other weights than its cells" in report.reason
