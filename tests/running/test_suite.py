"""Suites, and what --dry-run says of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hashbench.backbones import timm_models
from hashbench.errors import BadInput, BadParameter, UnknownName
from hashbench.models.model import HashModel
from hashbench.models.pass_cost import measure_pass
from hashbench.registry.entries import attacks, defenses
from hashbench.registry.spec import Spec
from hashbench.running.forecast.lines import forecast
from hashbench.running.request import Request, all_cells
from hashbench.running.suite import expand, names, read_suite
from hashbench.threat import Threat


@pytest.mark.parametrize("name", names())
def test_every_suite_is_read_and_forecast(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = read_suite(name)
    assert suite.title
    monkeypatch.setattr("hashbench.running.forecast.lines._cost", lambda *given: None)  # large networks take a while
    lines = list(forecast(suite.requests))
    assert lines[-1].endswith("nothing was trained")
    for request in suite.requests:
        for text in (request.dataset, request.backbone, request.method, *request.defenses, *request.attacks):
            assert f" {Spec.parse(text).name}" in "\n".join(lines)
    assert len(lines) < 20 + 4 * len(suite.requests)


def test_the_suites_of_the_papers_are_there() -> None:
    assert {"quick", "standard", "boards", "cgat-www23", "saat-tifs23", "dhta-eccv20"} <= set(names())
    requests = read_suite("cgat-www23").requests
    assert {r.dataset for r in requests} == {"flickr25k", "nuswide", "coco"}
    assert {r.bits for r in requests} == {16, 32, 48, 64}


def test_the_suites_for_small_data_can_run() -> None:
    for name in ("quick", "standard"):
        for request in read_suite(name).requests:
            request.resolve()


def test_the_suite_of_all_boards_has_the_cells_of_the_published_ones() -> None:
    published = [replace(r, attacks=(*r.attacks, "standard-2")) for r in read_suite("standard").requests]
    boards = [r for r in read_suite("boards").requests if r.dataset in ("digits", "digits-collage")]
    keys = [{cell.key for cell in all_cells([r.resolve() for r in requests])} for requests in (published, boards)]
    assert keys[0] < keys[1]
    subjects = {(r.dataset, r.method, r.bits) for r in boards}
    others = {("digits-collage", method, 32) for method in ("dpsh", "hashnet", "orthohash", "dch")}
    lengths = {("digits-collage", "csq", bits) for bits in (16, 32, 64)}
    assert subjects == {("digits", "csq", 32), *lengths, *others}


def test_every_board_of_all_data_sets_has_every_defense() -> None:
    every = {entry.name for entry in defenses if entry.name != "checkpoint"}
    for dataset in ("digits", "digits-collage", "fashion-mnist", "emoji"):
        own = [r for r in read_suite("boards").requests if (r.dataset, r.bits, r.method) == (dataset, 32, "csq")]
        rows = [(Spec.parse(text).name, r.seeds) for r in own for text in ("none", *r.defenses)]
        assert {name for name, _ in rows} == every
        assert all(seeds == (0, 1, 2) for name, seeds in rows if name != "none" and defenses[name].trains)
        assert all("standard-2" in r.attacks for r in own)


def test_a_forecast_names_first_what_a_suite_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretrained = [r for r in read_suite("boards").requests if r.backbone.startswith("timm")]
    monkeypatch.delenv("HASHBENCH_DATA", raising=False)
    monkeypatch.setattr(timm_models, "find_spec", lambda name: None)
    monkeypatch.setattr("hashbench.running.forecast.lines._cost", lambda *given: None)
    lines = list(forecast(pretrained))
    assert lines[0] == "missing:"
    assert lines[1].startswith("  emoji needs a folder: npm install")
    assert lines[2].startswith("  backbone 'timm': weights=$HASHBENCH_DATA/efficientnet-lite0.pth is not a file")
    assert "train unknown, queries unknown, database unknown" in lines[3]
    assert "(0 of them can't run)" in lines[-1]
    (tmp_path / "efficientnet-lite0.pth").write_text("weights")
    monkeypatch.setenv("HASHBENCH_DATA", str(tmp_path))
    (request,) = (r for r in read_suite("boards").requests if r.backbone.startswith("timm"))
    assert request.backbone.endswith(f"weights={tmp_path}/efficientnet-lite0.pth")
    found = list(forecast([request]))
    assert found[1].startswith(f"  there is no {tmp_path}/emoji/emoji-datasource-google")
    assert found[2].endswith("needs timm, which is not installed; run pip install 'hashbench[timm]'")


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


def test_a_suite_has_the_threats_and_the_access_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[[run]]\naccess = "ranking"\nattack = "square-ranking"\n'
        '[[run]]\nnorm = "l2"\neps = 2\n'
        '[[run]]\nnorm = "linf"\npatch = 4\n'
        '[[run]]\naccess = "ranking"\nattack = ["noise", "pgd-hamming"]\n'
    )
    ranking, round_ball, patch, mixed = read_suite(str(tmp_path / "mine.toml")).requests
    assert [attack.access for attack in ranking.resolve().attacks] == ["none", "ranking-top-50"]
    assert round_ball.resolve().threat == Threat(2.0, "l2")
    assert patch.resolve().norm == "patch-4"
    with pytest.raises(BadParameter, match="'pgd-hamming' has access white, which --access=ranking rules out"):
        mixed.resolve()
    assert "pgd-hamming' has access white" in "\n".join(forecast([mixed]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[run]]\ndatasets = 'a'", r"run 1: there is no key datasets; did you mean 'dataset'"),
        ("[[run]]\nbits = '16'", r"run 1: bits is '16'; give a whole number"),
        ("[[run]]\neps = ['1', '2']", "eps takes one value"),
        ("title = 'x'", r"no \[\[run\]\] table"),
        ("[[run", "is not a TOML file"),
    ],
)
def test_a_wrong_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(BadInput, match=message):
        read_suite(str(tmp_path / "mine.toml"))


def test_an_unknown_suite_names_those_there_are() -> None:
    with pytest.raises(UnknownName, match="did you mean 'quick'"):
        read_suite("quack")


def test_a_forecast_counts_cells_and_passes_and_names_what_cannot_run_first() -> None:
    request = Request(attacks=("pgd-hamming:steps=10,restarts=2", "nonsense"), defenses=("cgat:epochs=3,steps=4",))
    lines = list(forecast([request]))
    assert lines[:2] == ["can't run:", f"  nonsense: {message_of('nonsense')}"]
    assert lines[2].endswith("; eps 32/255; seeds 0; 1,000 train, 300 queries, 1,297 database")
    assert lines[3] == "  rows none, cgat:epochs=3,steps=4"
    assert lines[4] == "  columns none, pgd-hamming:steps=10,restarts=2, nonsense"
    trained, encoded, attacked = 20 * 1000 + 3 * 1000 * 6, 2 * 1297, 2 * 10 * 2 * 300
    assert f"  6 cells, {trained + encoded + attacked + 2 * 3 * 300:,} passes, about " in lines[5]
    assert "1 run, 6 cells (2 of them can't run)" in lines[6]


def message_of(attack: str) -> str:
    with pytest.raises(UnknownName) as raised:
        attacks.choose(Spec(attack))
    return str(raised.value)


def test_what_an_attack_runs_by_itself_is_counted() -> None:
    one, other = (
        next(iter(reversed(list(forecast([Request(attacks=(name,))]))[:-2]))) for name in ("none", "standard")
    )
    few, many = (int(line.split(" cells, ")[1].split(" passes")[0].replace(",", "")) for line in (one, other))
    assert many - few > 300 * 100


def test_a_forecast_has_hours_and_memory_from_a_measured_pass() -> None:
    (line,) = (line for line in forecast([Request()]) if "from passes measured now" in line)
    found = re.match(
        r"about (\d+ (?:seconds|minutes)|\d+\.\d hours) and ([\d.e-]+) GB beside the data on one cpu", line
    )
    assert found
    assert 0 < float(found[2]) < 1


def test_a_pass_is_measured_without_fetching_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", None)
    text = "\n".join(forecast([Request(backbone="torchvision:model=mobilenet_v3_small")]))
    assert "from passes measured now" in text


def test_twice_the_images_take_twice_the_time_of_a_pass() -> None:
    network = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 8)
    )
    cost = measure_pass(HashModel(network, 8), 1, 8, torch.device("cpu"))
    assert 0 < cost.forward < cost.gradient
    assert cost.weights == 4 * (64 * 512 + 512 + 512 * 8 + 8)
    assert 4 * 512 <= cost.activations <= 4 * (64 + 3 * 512 + 64)
    assert cost.batch == 256


def test_a_forecast_has_tuned_values() -> None:
    tuned = next(r.tuned for r in read_suite("boards").requests if r.tuned)
    request = Request(dataset="digits-collage", defenses=("cgat", "lap"), tuned=tuned, amp=True)
    trial = Request(dataset="digits-collage", defenses=("cgat",), tuned=tuned).resolve().defenses[1]
    assert trial.params["learning_rate"] != defenses.choose(Spec("cgat")).params["learning_rate"]
    text = "\n".join(forecast([request]))
    assert f"cgat:learning_rate={trial.params['learning_rate']}," in text
    assert text.count("amp=True") == 2
    unknown = "\n".join(forecast([Request(dataset="emoji", defenses=("cgat",), tuned=tuned)]))
    assert "has no tuned values of 'cgat'" in unknown


def test_a_forecast_says_once_and_first_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("HASHBENCH_DATA", raising=False)
    lines = list(forecast([Request(dataset="flickr25k:size=64", backbone="alexnet", bits=bits) for bits in (16, 32)]))
    text = "\n".join(lines)
    assert lines[0] == "missing:"
    assert text.count("flickr25k needs its folder") == 1
    assert text.count(f"{tmp_path}/hub/checkpoints/alexnet-owt-7be5be79.pth") == 1
    assert text.count("5,000 train, 1,700 queries, 23,300 database") == 2
    assert text.count("  rows none") == 1
