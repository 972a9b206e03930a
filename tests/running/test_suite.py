"""Suites, and what --dry-run says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hashbench.errors import BadInput, UnknownName
from hashbench.registry.entries import defenses
from hashbench.registry.spec import Spec
from hashbench.running.forecast import forecast
from hashbench.running.request import Request
from hashbench.running.suite import expand, names, read_suite


@pytest.mark.parametrize("name", names())
def test_every_suite_is_read_and_forecast(name: str) -> None:
    suite = read_suite(name)
    assert suite.title
    lines = list(forecast(suite.requests))
    assert lines[-1].endswith("nothing was trained")
    for request in suite.requests:
        for text in (request.dataset, request.backbone, request.method, *request.defenses, *request.attacks):
            assert f" {Spec.parse(text).name}" in "\n".join(lines)


def test_the_suites_of_the_papers_are_there() -> None:
    assert {"quick", "standard", "cgat-www23", "saat-tifs23", "dhta-eccv20"} <= set(names())
    requests = read_suite("cgat-www23").requests
    assert {r.dataset for r in requests} == {"flickr25k", "nuswide", "coco"}
    assert {r.bits for r in requests} == {16, 32, 48, 64}


def test_the_suites_for_small_data_can_run() -> None:
    for name in ("quick", "standard"):
        for request in read_suite(name).requests:
            request.resolve()


def test_a_table_becomes_a_request_for_each_combination() -> None:
    table = {
        "dataset": ["a", "b"],
        "bits": [16, 32],
        "method": "csq",
        "attack": ["noise"],
        "seed": [0, 1],
        "eps": "0.1",
    }
    requests = expand(table, Path("here"))
    assert [(r.dataset, r.bits) for r in requests] == [("a", 16), ("a", 32), ("b", 16), ("b", 32)]
    assert all(r.attacks == ("noise",) and r.seeds == (0, 1) and r.eps == "0.1" for r in requests)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[run]]\ndatasets = 'a'", r"there is no key run\[0\].datasets; did you mean 'dataset'"),
        ("[[run]]\nbits = '16'", r"run\[0\].bits is '16'; give a whole number"),
        ("[[run]]\neps = ['1', '2']", "eps takes one value"),
        ("title = 'x'", r"no \[\[run\]\] table"),
        ("[[run", "is no TOML file"),
    ],
)
def test_a_wrong_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(BadInput, match=message):
        read_suite(str(tmp_path / "mine.toml"))


def test_an_unknown_suite_names_those_there_are() -> None:
    with pytest.raises(UnknownName, match="did you mean 'quick'"):
        read_suite("quack")


def test_a_forecast_lists_every_cell_with_its_parameters_and_passes() -> None:
    request = Request(attacks=("pgd-hamming:steps=10,restarts=2", "nonsense"), defenses=("cgat:epochs=3,steps=4",))
    text = "\n".join(forecast([request]))
    assert "data 1,000 train, 300 queries, 1,297 database" in text
    assert "cell none under pgd-hamming (steps=10, restarts=2," in text
    assert "; 6,000 passes" in text
    assert "row cgat (epochs=3," in text
    assert f"; {3 * 1000 * 6 + 1297:,} passes" in text
    assert "cell cgat under nonsense () [can't run: no attack is named 'nonsense'" in text
    assert "1 runs, 6 cells (2 of them can't run)" in text


def test_a_forecast_has_tuned_values_and_mixed_precision() -> None:
    tuned = next(r.tuned for r in read_suite("standard").requests if r.dataset == "digits-collage")
    request = Request(dataset="digits-collage", defenses=("cgat", "lap"), tuned=tuned, amp=True)
    text = "\n".join(forecast([request]))
    trial = Request(dataset="digits-collage", defenses=("cgat",), tuned=tuned).resolve().defenses[1]
    assert trial.params["learning_rate"] != defenses.choose(Spec("cgat")).params["learning_rate"]
    assert f"row cgat (epochs=20, learning_rate={trial.params['learning_rate']}," in text
    assert text.count("amp=True") == 3
    unknown = "\n".join(forecast([Request(dataset="digits", defenses=("cgat",), tuned=tuned)]))
    assert "has no tuned values of 'cgat'" in unknown


def test_a_forecast_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("HASHBENCH_DATA", raising=False)
    text = "\n".join(forecast([Request(dataset="flickr25k", backbone="vgg11")]))
    assert "missing: flickr25k needs its folder" in text
    assert f"vgg11-8a719046.pth at {tmp_path}/hub/checkpoints/vgg11-8a719046.pth" in text
    assert "5,000 train, 1,700 queries, 23,300 database" in text
