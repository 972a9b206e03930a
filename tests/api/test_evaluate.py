from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import random_images, small_model

import hashbench as hb
from hashbench.api.progress import NotebookBars
from hashbench.models.data import ImageSet, RetrievalSplit
from hashbench.progress import shown_on, track

QUICK = "pgd-hamming:steps=3,restarts=1"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def small_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashbench.evaluation.probe.STEPS", 2)
    monkeypatch.setattr("hashbench.running.probes.BLACK_BOX", "square-hamming:steps=2")


@pytest.fixture
def split() -> RetrievalSplit:
    return hb.split_of_tensors(queries=random_images(12, seed=2), database=random_images(60, seed=4), eps=16 / 255)


def network(bits: int = 12, seed: int = 0) -> nn.Module:
    """A network with batch norm, dropout and a max pool, in train mode, that is no HashModel."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5), nn.Flatten(),
            nn.Linear(128, bits),
        )  # fmt: skip


def test_an_attack_that_raises_an_ap_leaves_the_clean_query_as_the_worst_case() -> None:
    raised = 0
    for number in range(8):
        torch.manual_seed(number)
        images, linear = torch.rand(60, 1, 8, 8), nn.Sequential(nn.Flatten(), nn.Linear(64, 12))
        parts = {"queries": (images[:6], torch.arange(6) % 3), "database": (images, torch.arange(60) % 3)}
        split = hb.split_of_tensors(**parts, eps=0.1)
        report = hb.evaluate(linear, split, attacks="noise", probe=False, certificate=False)
        clean, noise = (report.queries[name]["average_precision"] for name in ("none", "noise"))
        raised += int((noise > clean).any())
        assert report.map_worst == pytest.approx(np.minimum(clean, noise).mean())
    assert raised


def test_a_report_holds_clean_worst_case_chance_certificate_and_flags(split: RetrievalSplit) -> None:
    report = hb.evaluate(network(), split, attacks=["noise", QUICK, "p2p:preset=quick"], name="mine")
    assert report.bits == 12
    assert report.eps == split.eps
    assert report.map_worst is not None
    assert report.map_worst_interval is not None
    assert report.certified is not None, report.certified_reason
    assert report.certified <= report.map_worst <= report.map_clean
    assert report.map_worst_interval[0] <= report.map_worst <= report.map_worst_interval[1]
    known = [report.queries[name]["average_precision"] for name in ("none", "noise", QUICK)]
    assert report.map_worst == pytest.approx(np.minimum.reduce(known).mean())
    assert [*report.attacks.values()][-1]["t_map"] > 0
    assert set(report.flags) == set(report.meanings)
    frame = report.to_frame().set_index("attack")
    assert frame.index[0] == "none"
    assert list(frame.index)[-2:] == ["worst", "certified"]
    for name, bounds in (("worst", report.map_worst_interval), ("certified", report.certified_interval)):
        assert bounds is not None
        assert (frame["ci_low"][name], frame["ci_high"][name]) == pytest.approx(bounds, abs=1e-6)
    assert frame.loc["worst", "map"] == round(report.map_worst, 6)
    assert "mine, 12 bits; l-inf eps 16/255" in str(report)


def test_a_report_goes_into_a_file_and_a_picture(split: RetrievalSplit, tmp_path: Path) -> None:
    report = hb.evaluate(network(), split, eps=8 / 255, attacks="noise", certificate=False)
    held = json.loads(report.to_json(tmp_path / "report.json"))
    assert held == json.loads((tmp_path / "report.json").read_text())
    assert (held["eps"], held["certified"], held["certified_reason"]) == (8 / 255, None, "it was not asked for")
    assert held["attacks"]["noise"]["n_queries"] == 12
    figure = report.plot(tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "report.svg").exists()
    assert figure._repr_png_()[:4] == b"\x89PNG"
    assert "<table" in report._repr_html_()


def test_the_same_seed_gives_the_same_digits_and_nothing_of_the_caller_changes(split: RetrievalSplit) -> None:
    model = network()
    next(model.parameters()).requires_grad_(False)
    model[1].eval()  # type: ignore[index]
    modes = [module.training for module in model.modules()]
    flags = [weight.requires_grad for weight in model.parameters()]
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kinds = [type(module) for module in model.modules()]
    state = torch.get_rng_state()
    first = hb.evaluate(model, split, attacks=QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert hb.evaluate(model, split, attacks=QUICK).to_json() == first.to_json()
    assert [module.training for module in model.modules()] == modes
    assert [weight.requires_grad for weight in model.parameters()] == flags
    assert [type(module) for module in model.modules()] == kinds
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert hb.evaluate(model, split, attacks=QUICK, seed=1).to_json() != first.to_json()


def test_numbers_of_numpy_give_the_report_of_python_s_own(split: RetrievalSplit) -> None:
    model = network()
    numbers: list[tuple[Any, Any]] = [(np.float64(0.1), np.int64(3)), (0.1, 3)]
    texts = {
        hb.evaluate(model, split, eps=eps, seed=seed, attacks="noise", probe=False, certificate=False).to_json()
        for eps, seed in numbers
    }
    assert len(texts) == 1


def test_a_hash_model_counts_as_its_network(split: RetrievalSplit) -> None:
    model = small_model()
    reports = [hb.evaluate(given, split, attacks=QUICK, probe=False) for given in (model, model.network)]
    assert reports[0].to_json() == reports[1].to_json()


def test_a_data_set_can_be_named_and_a_model_without_a_rule_gets_a_reason() -> None:
    class Sine(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.sin(9 * images.flatten(1))

    report = hb.evaluate(Sine(), "digits", attacks="noise", probe=False)
    assert report.bits == 64
    assert report.attacks["noise"]["n_database"] == 1297
    assert report.certified is None
    assert len(report.certified_reason) > 10


def test_what_ends_a_certificate_is_its_reason_and_attacks_are_kept(
    split: RetrievalSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("The size of tensor a (4)\nmust match")

    monkeypatch.setattr("hashbench.api.evaluate.certify", crash)
    report = hb.evaluate(network(), split, attacks="noise", probe=False)
    assert report.certified is None
    assert re.fullmatch(
        r"the certificate raised RuntimeError at test_evaluate.py:\d+: The size of tensor a \(4\) must match",
        report.certified_reason,
    )
    assert report.attacks["noise"]["map"] > 0


def test_arrays_of_any_form_are_the_same_split() -> None:
    floats = torch.randint(0, 256, (10, 1, 8, 8), generator=torch.Generator().manual_seed(0)).float() / 255
    numbers = torch.arange(10) % 3
    hot = torch.nn.functional.one_hot(numbers, 3)
    forms: list[tuple[Any, Any]] = [
        (floats, numbers), (floats.double().numpy(), numbers.tolist()), (floats, hot),
        ((255 * floats).round().to(torch.uint8), hot.numpy().astype(bool)),
    ]  # fmt: skip
    digests = {
        hb.split_of_tensors(queries=form, database=form, train=form, validation=form, eps=0.1).digest for form in forms
    }
    assert len(digests) == 1
    bare = hb.split_of_tensors(queries=forms[0], database=forms[0], eps=0.1)
    assert (len(bare.validation), len(bare.train)) == (0, 10)


def replaced(images: Tensor, value: float) -> Tensor:
    images = images.clone()
    images[0, 0, 0, 0] = value
    return images


IMAGES, LABELS = torch.rand(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ((IMAGES[0], LABELS), r"the images of queries have shape \[1, 8, 8\]"),
        ((replaced(IMAGES, 1.5), LABELS), r"pixels from .* to 1.5; give pixels in \[0, 1\]"),
        ((replaced(IMAGES, float("nan")), LABELS), "queries hold NaN or infinite pixels"),
        ((IMAGES, LABELS[:5]), r"queries has 6 images and labels of shape \[5\]"),
        ((IMAGES, LABELS - 1), "the labels of queries are no class numbers"),
        ((IMAGES, LABELS + 0.5), "the labels of queries are no class numbers"),
        ((IMAGES, 2 * torch.eye(6)[:, :3]), "the labels of queries hold 2; give 0 and 1"),
        ((IMAGES, ["a", "b"]), "the labels of queries are a list that is no array of numbers"),
        ((IMAGES, LABELS, 1), "queries is a tuple; give an ImageSet or a pair"),
        ((torch.rand(6, 3, 8, 8), LABELS), r"those of queries \[3, 8, 8\]"),
    ],
)  # fmt: skip
def test_wrong_arrays_are_one_line(queries: Any, message: str) -> None:
    with pytest.raises(hb.HashbenchError, match=message) as caught:
        hb.split_of_tensors(queries=queries, database=(IMAGES, LABELS), eps=8 / 255)
    assert "\n" not in str(caught.value)


class Answers(nn.Module):
    """A network that gives what a function makes of images."""

    def __init__(self, answer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: Tensor) -> Any:
        return self.answer(images)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda images: images, r"the model returns shape \[2, 1, 8, 8\] for 2 images; give one row of K logits"),
        (lambda images: images.flatten(1)[:1], r"the model returns shape \[1, 64\] for 2 images"),
        (lambda images: (images.flatten(1),), "the model returns a tuple; give one row of K logits"),
        (lambda images: images.flatten(1) / 0 - 1 / images.flatten(1) / 0, "the model gives NaN or infinite logits"),
        (lambda images: images.flatten(1) > 0.5, "the model returns torch.bool; give logits"),
        (lambda images: 1 // 0, "the model raised ZeroDivisionError"),
        (lambda images: images.flatten(1) + torch.where(torch.arange(len(images)) == 5, torch.nan, 0.0)[:, None],
         "NaN or infinite logits for 1 of 12 queries"),
    ],
)  # fmt: skip
def test_wrong_outputs_are_one_line(split: RetrievalSplit, answer: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(hb.HashbenchError, match=message) as caught:
        hb.evaluate(Answers(answer), split, attacks="noise")
    assert "\n" not in str(caught.value)


def test_wrong_arguments_are_one_line(split: RetrievalSplit) -> None:
    odd: Any = [1, 2]
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: hb.evaluate(odd, split), "the model is a list; give a torch.nn.Module"),
        (lambda: hb.evaluate(network(), odd), "the split is a list; give the name of a data set"),
        (lambda: hb.evaluate(network(), "digts"), "did you mean 'digits'"),
        (lambda: hb.evaluate(network(), split, attacks="standrad"), "did you mean 'standard'"),
        (lambda: hb.evaluate(network(), split, attacks=odd), "an attack is given as a int; give its name"),
        (lambda: hb.evaluate(network(), split, eps=8), "eps=8 is outside"),
    ]
    for call, message in wrong:
        with pytest.raises(hb.HashbenchError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    short = ImageSet(split.queries.images, split.queries.labels[:5])
    broken = RetrievalSplit(split.train, short, split.validation, split.database, 1, 8, 0.1, "mine")
    with pytest.raises(hb.HashbenchError, match="queries has 12 images and labels of shape"):
        hb.evaluate(network(), broken)


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## In Python")[2]
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 8
    monkeypatch.chdir(tmp_path)
    np.savez("photos.npz", images=torch.rand(30, 1, 8, 8).numpy(), labels=np.arange(30) % 3)
    torch.save(network(), "network.pt")
    held: dict[str, Any] = {}
    exec(code.replace('"standard"', f'"{QUICK}"').replace("100", "10"), held)  # noqa: S102
    assert Path("report.png").exists()
    assert held["report"].map_worst <= held["report"].map_clean


def test_bars_of_a_notebook_show_how_far_loops_have_got() -> None:
    shown: list[str] = []
    with shown_on(NotebookBars(shown.append)):
        for _ in track([1, 2], "a <loop>"):
            pass
    assert "a &lt;loop&gt;" in shown[0]
    assert 'max="2"' in shown[0]
    assert shown[-1] == ""
