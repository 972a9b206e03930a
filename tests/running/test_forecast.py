"""What a dry run counts and says, against counts by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from command import Command

from hashbench.datasets.list_files import ORIGINS
from hashbench.errors import BadParameter
from hashbench.models.pass_cost import PassCost, PassForecast
from hashbench.registry.entries import attacks, datasets
from hashbench.registry.spec import Spec
from hashbench.running.forecast import lines as lines_module
from hashbench.running.forecast import passes as passes_module
from hashbench.running.forecast import plan as plan_module
from hashbench.running.forecast.lines import forecast
from hashbench.running.forecast.plan import Sizes
from hashbench.running.request import Request, load_once
from hashbench.running.store import Result, Store, StoredTensors

READ_SIZES = plan_module._sizes
SIZES = Sizes(1000, 300, 1297, 32 / 255, 1, 8)
COST = PassCost(forward=0.001, gradient=0.004, weights=1, largest=1, activations=1, batch=1)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of known sizes, and passes that cost what they are said to."""
    monkeypatch.setattr(plan_module, "_sizes", lambda request, load: SIZES)
    monkeypatch.setattr(lines_module, "measure_pass", lambda model, channels, size, device: COST)


def test_passes_are_added_and_multiplied() -> None:
    one = PassForecast(2, 3)
    assert (one + PassForecast(10, 20)) * 3 == PassForecast(36, 69)
    assert one.all == 5
    assert one.seconds(COST) == pytest.approx(2 * 0.001 + 3 * 0.004)
    assert PassForecast().all == 0


def test_the_product_of_the_integers_that_are_there() -> None:
    assert passes_module._times({"epochs": 3, "steps": 4, "rate": 0.5}, "epochs", "steps") == 12
    assert passes_module._times({"epochs": 3}, "epochs", "steps") == 3
    assert passes_module._times({"epochs": 0.5}, "epochs") == 0
    assert passes_module._times({}) == 0


@pytest.mark.parametrize(
    ("parameters", "passes"), [({"epochs": 3, "steps": 4}, 3000 * 6), ({"epochs": 3}, 3000), ({"steps": 4}, 0)]
)
def test_a_training_passes_each_image_once_and_twice_more_with_an_attack(
    parameters: dict[str, Any], passes: int
) -> None:
    assert passes_module.defense_passes(parameters, 1000) == PassForecast(0, passes)


def test_attacks_that_see_gradients_pass_backwards_and_others_only_forwards() -> None:
    def counted(text: str) -> PassForecast:
        return passes_module.attack_passes(attacks.choose(Spec.parse(text)), 300, 1000)

    assert passes_module.attack_passes(None, 300, 1000) == PassForecast(300, 0)
    assert counted("noise") == PassForecast(300, 0)
    assert counted("pgd-hamming:steps=10,restarts=2") == PassForecast(300, 20 * 300)
    assert counted("square-hamming:steps=50") == PassForecast(300 + 50 * 300, 0)
    epochs = attacks.choose(Spec.parse("pros-gan")).visible["epochs"]
    assert isinstance(epochs, int)
    assert counted("pros-gan").gradient == epochs * 1000
    plain = SimpleNamespace(
        visible={"steps": 7}, entry=SimpleNamespace(access="white", uses=[("attack", "noise"), ("method", "csq")])
    )
    assert passes_module.attack_passes(plain, 300, 1000) == PassForecast(300 + 300, 7 * 300)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 second"), (59.4, "59 seconds"), (60, "1 minute"), (3599, "60 minutes"), (3600, "1.0 hours"),
     (3.6e6 * 5, "5,000.0 hours")],
)  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert lines_module._duration(seconds) == said


def test_every_line_of_a_forecast() -> None:
    pair = Request(attacks=("pgd-hamming:steps=10,restarts=1",), defenses=("jpeg",), seeds=(0, 1))
    same = Request(attacks=pair.attacks, defenses=pair.defenses, norm="l2", eps="0.5")
    trained = 20 * 1000 * 2  # clean training, two seeds; jpeg trains nothing of its own
    encoded = 2 * 1297 * 2
    attacked = 10 * 300 * 3 * 2  # jpeg has the oblivious attacker beside the adaptive one
    looked = (2 * 2 + 1) * 300 * 2
    passes = trained + encoded + attacked + looked
    seconds = (trained + attacked) * 0.004 + (encoded + looked) * 0.001
    assert list(forecast([pair, same], torch.device("cpu"))) == [
        "run 1 of 2: digits, cnn, csq, 32 bits; eps 32/255; seeds 0, 1; 1,000 train, 300 queries, 1,297 database",
        "  rows none, jpeg",
        "  columns none, pgd-hamming:steps=10,restarts=1, pgd-hamming (oblivious)",
        f"  10 cells, {passes:,} passes, about {seconds / 60:.0f} minutes",
        "run 2 of 2: digits, cnn, csq, 32 bits; l2 eps 0.5; seeds 0; 1,000 train, 300 queries, 1,297 database",
        f"  5 cells, {passes // 2:,} passes, about {seconds / 120:.0f} minutes",
        f"2 runs, 15 cells (0 of them can't run), about {passes * 3 // 2:,} passes; nothing was trained",
        f"about {seconds * 1.5 / 60:.0f} minutes and 6.8e-08 GB beside the data on one cpu, from passes measured now; "
        "trainings' own steps, probes and intervals come on top",
    ]


def test_the_queries_of_trials_and_studies_are_counted() -> None:
    found = [READ_SIZES(Request(queries=name), load_once()).queries for name in ("queries", "validation", "study")]
    assert found == [300, 200, 400]


def test_what_the_store_has_is_not_counted(tmp_path: Path) -> None:
    """Of four cells each of two seeds: all of one seed are stored, of the other the undefended model alone."""
    request = Request(training="epochs=2", defenses=("cgat:epochs=1,steps=1",), attacks=("noise",), seeds=(0, 1))
    store, cells = Store(tmp_path), request.resolve().cells(load_once())
    for cell in cells:
        if cell.seed == 0:
            store.save_cell(Result(cell.key, cell.identity, {"map": 0.5}, {"created_utc": "now"}), {})
    store.save_model(next(cell.clean_key for cell in cells if cell.seed == 1), StoredTensors({"a": torch.ones(1)}))
    cold, warm = (list(forecast([request], torch.device("cpu"), given)) for given in (None, store))
    trained, encoded, looked = 1000 * 3, 2 * 1297, 4 * 300
    assert f"  8 cells, {2 * (2 * 1000 + trained + encoded + looked):,} passes" in cold[3]
    assert f"  8 cells, 4 of them stored, {trained + encoded + looked:,} passes" in warm[3]
    assert "8 cells (0 of them can't run, 4 are stored), about" in warm[4]
    for cell in cells:
        store.save_cell(Result(cell.key, cell.identity, {"map": 0.5}, {"created_utc": "now"}), {})
    done = list(forecast([request, replace(request, attacks=("nonesuch",))], torch.device("cpu"), store))
    assert any(line == "  8 cells, 8 of them stored, 0 passes" for line in done)
    assert sum("stored" in line for line in done) == 2, "of a request that can't run nothing is looked up"


@pytest.mark.parametrize("with_store", [False, True])
def test_models_of_a_zoo_are_not_trained(tmp_path: Path, *, with_store: bool) -> None:
    request = Request(training="epochs=2", defenses=("cgat:epochs=1,steps=1",), attacks=("noise",))
    cells = request.resolve().cells(load_once())
    store, keys = Store(tmp_path) if with_store else None, {key for cell in cells for key in (cell.clean_key, "other")}
    found = list(forecast([request], torch.device("cpu"), store, keys))
    trained, encoded, looked = 1000 * 3, 2 * 1297, 4 * 300
    assert f"  4 cells, 1 model from a zoo, {trained + encoded + looked:,} passes" in found[3]
    keys |= {cell.defended_key for cell in cells if cell.defense.entry.trains}
    found = list(forecast([request], torch.device("cpu"), store, keys))
    assert f"  4 cells, 2 models from a zoo, {encoded + looked:,} passes" in found[3]


def test_a_dry_run_looks_into_the_zoos_of_its_own_folder_or_another(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Path]()

    def noted(root: Path) -> dict[str, Path]:
        asked.append(root)
        return {}

    monkeypatch.setattr("hashbench.verification.zoo.zoo_index", noted)
    Path("other").mkdir()
    for words in (("--out", "mine"), ("--zoo", "other"), ("--fresh",)):
        assert command("run", *words, "--dry-run").code == 0
    assert asked == [Path("mine"), Path("other")]
    assert "--zoo and --fresh exclude each other" in command("run", "--zoo", "other", "--fresh", "--dry-run").err
    assert "--zoo=absent is no folder" in command("run", "--zoo", "absent", "--dry-run").err


def test_what_only_the_checks_of_a_run_refuse_is_forecast_with_a_store_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any) -> None:
        raise BadParameter("it does not fit")

    monkeypatch.setattr("hashbench.running.request.Resolved.cells", refuse)
    request, device = Request(defenses=("cgat",)), torch.device("cpu")
    assert list(forecast([request], device, Store(tmp_path))) == list(forecast([request], device))


def test_what_cannot_run_stands_first_and_is_counted() -> None:
    asked = Request(attacks=("art-mim",), defenses=("ibp",), norm="l2", seeds=(0, 1))
    lines = list(forecast([asked, asked]))
    assert lines[0] == "can't run:"
    assert [line.partition(":")[0] for line in lines[1:3]] == ["  art-mim", "  ibp"]
    assert lines[3].startswith("run 1 of 2")
    assert "2 runs, 16 cells (12 of them can't run)" in lines[-2], "all but the clean undefended ones"


def test_a_network_that_cannot_be_made_costs_nothing_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = list(forecast([Request(backbone="nonesuch")]))
    assert lines[0] == "can't run:"
    assert lines[1].startswith("  nonesuch: no backbone is named 'nonesuch'")
    assert lines[-2].endswith(" passes")
    assert lines[-1].endswith("nothing was trained"), "no hours"
    made: list[Any] = []

    def measured(*given: Any) -> PassCost:
        made.append(given)
        return COST

    monkeypatch.setattr(lines_module, "measure_pass", measured)
    list(forecast([Request(bits=8), Request(bits=8, method="dsdh")]))
    assert len(made) == 1, "one network is measured once"
    assert made[0][0].bits == 8
    assert made[0][1:3] == (1, 8)


def test_sizes_of_a_data_set_that_is_not_there_are_those_of_its_lists() -> None:
    choice = datasets.choose(Spec.parse("flickr25k:size=64"))
    found = plan_module._published(choice, "it is missing")
    sizes = ORIGINS["flickr25k"].sizes
    assert found == Sizes(
        sizes["train"], sizes["test"], sizes["database"], choice.params["eps"], 3, 64, "it is missing"  # type: ignore[arg-type]
    )  # fmt: skip
    other: Any = SimpleNamespace(name="mine", params={})
    assert plan_module._published(other, "no") == Sizes(0, 0, 0, None, 3, 224, "no")


def test_unknown_sizes_and_budgets_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "_sizes", lambda dataset, load: Sizes(0, 0, 5, None, problem="get it"))
    lines = list(forecast([Request(), Request(patch=3)]))
    assert lines[:2] == ["missing:", "  get it"]
    assert lines[2].endswith("; the data set's eps; seeds 0; train unknown, queries unknown, 5 database")
    assert "; a patch of 3 x 3 pixels; " in "\n".join(lines)
    assert lines_module._facts(SimpleNamespace(request=Request(eps="0.1"), sizes=SIZES)).startswith("eps 0.1; ")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (Request(method="greedyhas"), "did you mean 'greedyhash'?"),
        (Request(dataset="digts"), "did you mean 'digits'?"),
        (Request(patch=100), "a patch of 100 pixels is larger than the images"),
        (Request(defenses=("checkpoint",)), "checkpoint"),
    ],
)
def test_where_nothing_can_run_all_cells_are_counted_so(asked: Request, why: str) -> None:
    lines = list(forecast([asked], torch.device("cpu")))
    cells = 1 + len(asked.defenses)
    assert any(why in line for line in lines)
    assert any(f"({cells} of them can't run)" in line for line in lines)
