from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command import QUICK, hashbench, start

from hashbench.cli.tune import GROW
from hashbench.datasets.digits import digits
from hashbench.errors import BadInput, BadParameter
from hashbench.registry.entries import defenses
from hashbench.registry.spec import Spec
from hashbench.running.request import Request, load_once
from hashbench.running.suite import read_suite
from hashbench.running.trial_tables import SHIPPED_TABLE, Row, Tuned, read_table, write_table
from hashbench.running.tuning import TRIALS, next_trial, trials, with_queries

SHIPPED = read_table(SHIPPED_TABLE)

ROW = {
    "dataset": "digits", "backbone": "cnn", "method": "csq", "bits": "32", "training": "clean", "split_digest": "0",
    "norm": "linf", "eps": "0.1", "attack": "pgd-hamming", "seed": "1000", "defense": "cgat",
}  # fmt: skip
SUBJECT = {name: ROW[name] for name in ("dataset", "backbone", "method", "bits", "training")}
TABLE = [
    {**ROW, "trial": f"cgat:weight={weight}", "map_clean": "0.9", "map": score, "chosen": chosen}
    for weight, score, chosen in (("1", "0.5", "no"), ("3", "0.7", "yes"))
]


def _has(row: Row, wanted: dict[str, str]) -> bool:
    return wanted.items() <= row.items()


@pytest.mark.parametrize("name", [entry.name for entry in defenses if entry.trains])
def test_every_defense_gets_the_same_number_of_trials(name: str) -> None:
    labels = {defenses.choose(Spec.parse(trial)).label for trial in trials(name)}
    assert len(labels) == TRIALS


@pytest.mark.parametrize("name", [entry.name for entry in defenses if "regularised" in entry.presets])
def test_the_grids_of_defenses_have_what_helps_lap_2(name: str) -> None:
    assert defenses[name].grid["preset"] == ("default", "regularised")
    values = [defenses.choose(Spec.parse(trial)).params for trial in trials(name)]
    assert [one["weight_decay"] for one in values].count(0.1) == TRIALS // 2
    for own, further in (("reach", 1.5), ("cutmix", 0.25)):
        if own in values[0]:
            assert [one[own] for one in values].count(further) == TRIALS // 2, own


def test_given_values_stay_in_every_trial() -> None:
    found = trials("cgat:memory=relaxed", {"weight": ["1", "2", "3", "4"]})
    assert found == [f"cgat:memory=relaxed,weight={weight}" for weight in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("text", "grid", "message"),
    [
        ("cgat", {"weight": [str(value) for value in range(9)]}, "has 9 combinations; give at most 8"),
        ("jpeg", None, "declares no grid"),
        ("cgat", {"wait": ["1", "2", "3", "4"]}, "has no parameter 'wait'"),
        ("cgat", {"weight": ["-1", "2", "3", "4"]}, "out of range"),
    ],
)
def test_grids_that_are_unfair_or_wrong_are_refused(text: str, grid: dict[str, list[str]] | None, message: str) -> None:
    with pytest.raises(BadParameter, match=message):
        trials(text, grid)


def test_trials_are_judged_on_validation_queries() -> None:
    split = digits()
    found = with_queries(split, "validation")
    assert torch.equal(found.queries.labels, split.validation.labels)
    assert found.digest != split.digest
    assert found.train is split.train


def test_the_chosen_trial_stands_for_a_defense_without_parameters(tmp_path: Path) -> None:
    path = tmp_path / "tuned.csv"
    write_table(path, TABLE)
    tuned = Tuned(path, SUBJECT)
    choice = tuned.choose("cgat")
    assert choice.label == "cgat:weight=3"
    assert len(choice.tuned) == 16
    assert tuned.choose("cgat:weight=2").label == "cgat:weight=2"
    assert tuned.choose("none").tuned == tuned.choose("cgat:weight=2").tuned == ""
    of_64_bits = Tuned(path, {**SUBJECT, "bits": "64"})
    with pytest.raises(BadInput, match="no tuned values of 'saat'; make them with 'hashbench tune saat --dataset"):
        of_64_bits.choose("saat")
    with pytest.raises(BadInput, match="no tuned values of 'cgat'"):
        of_64_bits.choose("cgat")
    trained = Tuned(tmp_path / "tuned.csv", {**SUBJECT, "training": "clean:epochs=3"})
    with pytest.raises(BadInput, match=r"hashbench tune saat .* --training epochs=3'"):
        trained.choose("saat")


def test_a_defense_without_a_grid_of_its_own_takes_the_values_that_were_tuned_for_it(tmp_path: Path) -> None:
    path = tmp_path / "tuned.csv"
    write_table(path, [{**row, "defense": "jpeg", "trial": f"jpeg:quality={30 + n}"} for n, row in enumerate(TABLE)])
    tuned = Tuned(path, SUBJECT)
    assert tuned.choose("jpeg").label == "jpeg:quality=31"
    assert tuned.choose("jpeg").tuned
    assert tuned.choose("median").label == "median"


def test_what_a_table_lacks_is_taken_from_the_trials_that_come_with_hashbench(tmp_path: Path) -> None:
    path = tmp_path / "tuned.csv"
    write_table(path, TABLE)
    subject = {**SUBJECT, "norm": "linf", "eps": "0.12549"}
    for text in ("saat", "lap-2"):
        (chosen,) = (row for row in SHIPPED if _has(row, {**subject, "defense": text}) and row["chosen"] == "yes")
        shipped = Tuned(Path("shipped"), subject).choose(text)
        assert shipped == Tuned(path, subject).choose(text)
        assert shipped.params == defenses.choose(Spec.parse(chosen["trial"])).params
    assert Tuned(path, {**subject, "eps": "0.1"}).choose("cgat").label == "cgat:weight=3", "the table's own come first"
    with pytest.raises(BadInput, match="the table that comes with hashbench has no tuned values of 'saat' but"):
        Tuned(Path("shipped"), {**subject, "eps": "0.1"}).choose("saat")
    assert Request(defenses=("cgat",), tuned=Path("shipped")).resolve().defenses[1].tuned
    suite = tmp_path / "mine.toml"
    suite.write_text('title = "mine"\n[[run]]\ndefense = "saat"\nattack = "noise"\ntuned = "shipped"\n')
    assert read_suite(str(suite)).requests[0].resolve().defenses[1] == Tuned(Path("shipped"), subject).choose("saat")


@pytest.mark.parametrize("dataset", sorted({row["dataset"] for row in SHIPPED}))
def test_the_trials_that_come_with_hashbench_are_fair(dataset: str) -> None:
    own = [row for row in SHIPPED if row["dataset"] == dataset]
    assert len({(row["split_digest"], row["norm"], row["eps"], row["attack"], row["seed"]) for row in own}) == 1
    counts = Counter(row["defense"] for row in own)
    assert max(counts.values()) - min(counts.values()) <= GROW
    for name in counts:
        rows = [row for row in own if row["defense"] == name]
        (best,) = (row for row in rows if row["chosen"] == "yes")
        assert float(best["map"]) == max(float(row["map"] or 0) for row in rows)
        assert len({defenses.choose(Spec.parse(row["trial"])).label for row in rows}) == len(rows)


def test_values_of_another_budget_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "tuned.csv"
    write_table(path, [{**row, "eps": "0.12549"} for row in TABLE])
    request = Request(defenses=("cgat", "jpeg"), tuned=path, eps="32/255")
    assert request.resolve().defenses[1].label == "cgat:weight=3"
    for other, named in (({"eps": "8/255"}, "--eps 0.0313725"), ({"norm": "l2", "eps": None}, "--norm l2")):
        with pytest.raises(BadInput, match=rf"no tuned values of 'cgat' but for linf eps 0\.12549; .*{named}"):
            replace(request, **other).resolve()
    with pytest.raises(BadInput, match=r"make them with 'hashbench tune cgat .*--patch 4"):
        replace(request, patch=4, eps=None).resolve()
    unnamed = replace(request, eps=None)  # digits has 32/255
    assert len(unnamed.resolve().cells(load_once())) == 3
    write_table(path, [{**row, "eps": "0.2"} for row in TABLE])
    assert len(read_table(path)) == 4
    with pytest.raises(BadInput, match=r"has tuned values of 'cgat' for eps 0\.12549 and 0\.2; say which by --eps"):
        unnamed.resolve()
    path.unlink()
    write_table(path, [{**row, "eps": "0.2"} for row in TABLE])
    with pytest.raises(BadInput, match=r"the tuned values of 'cgat' are for eps 0\.2, not 0\.12549"):
        unnamed.resolve().cells(load_once())


def test_a_table_keeps_the_rows_of_others_and_replaces_its_own(tmp_path: Path) -> None:
    path = tmp_path / "tuned.csv"
    write_table(path, TABLE)
    before = Tuned(path, SUBJECT).choose("cgat").tuned
    write_table(path, [{**row, "defense": "saat"} for row in TABLE])
    assert Tuned(path, SUBJECT).choose("cgat").tuned == before
    write_table(path, TABLE[1:])
    assert [row["defense"] for row in read_table(path)] == ["cgat", "saat", "saat"]
    assert Tuned(path, SUBJECT).choose("cgat").tuned != before


def test_trials_of_a_defense_with_values_are_for_the_same_words(tmp_path: Path) -> None:
    path, text = tmp_path / "tuned.csv", "cgat:epochs=2"
    write_table(path, [{**row, "defense": text, "trial": f"{text},weight={n}"} for n, row in enumerate(TABLE, 2)])
    chosen = next(row["trial"] for row in read_table(path) if row["chosen"] == "yes")
    assert Tuned(path, SUBJECT).choose(text).label == defenses.choose(Spec.parse(chosen)).label
    assert not Tuned(path, SUBJECT).choose("cgat:epochs=3").tuned


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    with pytest.raises(BadInput, match="can't read tuned values"):
        read_table(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match=r"can't read tuned values .*other columns than"):
        write_table(path, TABLE)


def test_tune_and_run_with_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = ("--grid", "learning_rate=1e-5", "--grid", "weight=1,2", "--grid", "learning_rate=0.01")
    attack = ("--attack", "pgd-hamming:steps=2,restarts=1", "--grow", "1")
    done = hashbench(capsys, monkeypatch, "tune", "cgat:epochs=1,steps=1", *grid, *attack, *QUICK)
    assert done.code == 0, done.err
    rows = read_table(tmp_path / "tuned.csv")
    assert len(rows) == 5
    best = max(rows, key=lambda row: float(row["map"]))
    assert [row["chosen"] for row in rows].count("yes") == 1
    assert best["chosen"] == "yes"
    assert {row["seed"] for row in rows} == {"1000"}
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    spared = hashbench(capsys, monkeypatch, "tune", "cgat:epochs=1,steps=1", "--out", "notes.csv", "--store", "empty")
    assert spared.code == 2
    assert "can't read tuned values" in spared.err
    assert not (tmp_path / "empty").exists(), "refused before anything is trained"
    refused = hashbench(capsys, monkeypatch, "tune", "cgat", "--grid", "weight")
    assert refused.code == 2
    assert "write NAME=a,b" in refused.err
    missing = hashbench(capsys, monkeypatch, "run", "--defense", "saat", "--tuned", "tuned.csv", *QUICK)
    assert missing.code == 2
    assert "no tuned values of 'saat'" in missing.err


def test_trials_of_a_table_are_not_made_again_where_it_is_extended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--attack", "pgd-hamming:steps=2,restarts=1", "--grow", "0", *QUICK)
    assert hashbench(capsys, monkeypatch, "tune", "cgat:epochs=1,steps=1", "--grid", "weight=1", *words).code == 0
    (first,) = read_table(tmp_path / "tuned.csv")
    write_table(tmp_path / "tuned.csv", [{**first, "map": "0.000001"}])  # as from another machine
    grid = ("--grid", "weight=2,1.0", "--store", "other", *words)
    done = hashbench(capsys, monkeypatch, "tune", "cgat:epochs=1,steps=1", "--extend", *grid)
    assert done.code == 0, done.err
    rows = read_table(tmp_path / "tuned.csv")
    assert [(row["trial"], row["chosen"]) for row in rows] == [
        ("cgat:epochs=1,steps=1,weight=1", "no"), ("cgat:epochs=1,steps=1,weight=2", "yes"),
    ]  # fmt: skip
    assert rows[0]["map"] == "0.000001"
    assert len([line for line in done.log.splitlines() if "start: training cgat" in line]) == 1
    before = (tmp_path / "tuned.csv").read_bytes()
    refused = hashbench(capsys, monkeypatch, "tune", "cgat:epochs=1,steps=1", "--extend", *grid, "--seed", "1001")
    assert refused.code == 2
    assert (
        "the table has trials of 'cgat:epochs=1,steps=1' with another seed; name another table by --out" in refused.err
    )
    assert (tmp_path / "tuned.csv").read_bytes() == before


def test_a_trial_that_was_made_is_not_proposed_again_however_it_is_written() -> None:
    rows = [{"trial": "cgat:weight=3", "chosen": "yes"}, {"trial": "cgat:weight=9.0", "chosen": "no"}]
    assert next_trial("cgat", rows, {"weight": ["1", "3"]}) == "cgat:weight=1"
    assert next_trial("cgat", rows, {"learning_rate": ["0.01", "0.02"]}) is None, "the best one says nothing of it"


def test_workers_find_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = (
        "tune", "cgat:epochs=1,steps=1", "--grid", "weight=1,2", "--grow", "0",
        "--attack", "pgd-hamming:steps=2,restarts=1", *QUICK,
    )  # fmt: skip
    searched: list[Path] = []
    monkeypatch.setattr("hashbench.api.measure.take_models", lambda root, *_: searched.append(root))
    assert hashbench(capsys, monkeypatch, *words).code == 0
    assert {path.resolve() for path in searched} == {tmp_path / "runs" / "tuning"}, "not the folder of the table"
    _, err = start((*words, "--workers", "2", "--store", "other", "--out", "again.csv"), tmp_path).communicate(
        timeout=120
    )
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "tuned.csv").read_bytes(), err
