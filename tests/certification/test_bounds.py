"""Bounds of logits: nothing that samples, gradients or brute force find lies outside."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_networks import grid, pgd_points, random_model, random_points, stir
from torch import Tensor, nn
from torchvision.models import resnet, vgg

from hashbench.certification.bounds import RELATIVE, TOLERANCE, logit_bounds, threat_box
from hashbench.certification.crown import lower_bounds
from hashbench.certification.graph import Graph, trace
from hashbench.certification.intervals import Bounds, Box, propagate
from hashbench.certification.refusal import NoCertificate
from hashbench.errors import BadParameter
from hashbench.models.layers import Channels, Normalise
from hashbench.models.model import HashModel
from hashbench.models.quick_pooling import QuickMaxPool2d
from hashbench.models.transformed import Transformed
from hashbench.registry.entries import backbones
from hashbench.registry.spec import Spec

NETWORKS = 25  # with four boxes each, in each batch
QUICK, ALL = 4, 40  # batches: of each test run, and with the slow ones 1,000 networks


def outside(model: HashModel, points: Tensor, lower: Tensor, upper: Tensor) -> float:
    """By how much logits of points [count, n, ...] leave bounds [n, bits]; at most 0 if they do not."""
    with torch.no_grad():
        logits = model.logits(points.flatten(0, 1)).view(*points.shape[:2], -1)
    return max((lower - logits).max().item(), (logits - upper).max().item())


@pytest.mark.parametrize(
    "batch", [*range(QUICK), *(pytest.param(n, marks=pytest.mark.slow) for n in range(QUICK, ALL))]
)
def test_nothing_leaves_the_bounds_of_random_networks(batch: int) -> None:
    for seed in range(batch * NETWORKS, (batch + 1) * NETWORKS):
        size = 3 if seed % 2 else 5
        model = random_model(seed, size)
        images, eps = torch.rand(4, 1, size, size), float(torch.rand(())) ** 2
        loose, tight = (
            logit_bounds(model, images, eps, rule="intervals"),
            logit_bounds(model, images, eps, all_bits=True),
        )
        assert (tight.lower >= loose.lower).all()
        assert (tight.upper <= loose.upper).all()
        assert torch.equal(logit_bounds(model, images, eps).fixed, tight.fixed), seed
        box, double = threat_box(images, eps), copy.deepcopy(model).double()
        points = [random_points(box, 20), pgd_points(double, box)] + ([grid(box)] if size == 3 else [])
        assert outside(double, torch.cat(points), tight.lower, tight.upper) <= 0, seed
        assert outside(model, torch.cat(points).float(), tight.lower, tight.upper) <= 0, seed


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(3)
    small = vgg.make_layers([4, "M", 8, 8, "M"], batch_norm=True)
    plain = vgg.VGG(small, num_classes=6)
    plain.classifier = nn.Sequential(nn.Linear(8 * 49, 10), nn.ReLU(True), nn.Dropout(), nn.Linear(10, 6))
    return {
        "cnn": backbones.choose(Spec.parse("cnn:width=4")).call(6, 3, 8),
        "resnet20": backbones.choose(Spec.parse("resnet20:width=4")).call(6, 3, 8),
        "vgg": nn.Sequential(Channels(3), Normalise([0.5] * 3, [0.5] * 3), plain),
        "resnet": nn.Sequential(Channels(3), resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=6)),
        "bottleneck": nn.Sequential(Channels(3), resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], num_classes=6)),
    }


@pytest.mark.parametrize("name", ["cnn", "resnet20", "vgg", "resnet", "bottleneck"])
def test_nothing_leaves_the_bounds_of_a_backbone(name: str) -> None:
    model = HashModel(stir(networks()[name]), 6).eval()
    images = torch.rand(2, 3, 8, 8)
    for eps in (0.01,):
        box, double = threat_box(images, eps), copy.deepcopy(model).double()
        points = torch.cat([random_points(box, 10), pgd_points(double, box)])
        loose, tight = (
            logit_bounds(model, images, eps, rule="intervals"),
            logit_bounds(model, images, eps, all_bits=True),
        )
        assert outside(double, points, tight.lower, tight.upper) <= 0
        assert (tight.upper - tight.lower).mean() < (loose.upper - loose.lower).mean()
        partly = logit_bounds(model, images, eps)
        assert torch.equal(partly.fixed, tight.fixed)
        assert (partly.lower <= tight.lower).all()


def test_bits_that_single_precision_leaves_free_are_not_bounded_in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {torch.float32: 0, torch.float64: 0}

    def counted(graph: Graph, box: Box, bounds: Bounds, rows: Tensor, weights: Tensor) -> Tensor:
        asked[weights.dtype] += len(rows)
        return lower_bounds(graph, box, bounds, rows, weights)

    monkeypatch.setattr("hashbench.certification.bounds.lower_bounds", counted)
    model = HashModel(stir(networks()["vgg"]), 6).eval()
    images = torch.rand(20, 3, 8, 8)
    free = (~logit_bounds(model, images, 0.01).fixed).sum()
    assert 0 < free < 120
    assert 120 - free <= asked[torch.float64] < asked[torch.float32] == 120
    double = asked[torch.float64]
    assert not logit_bounds(model, images, 0.3).fixed.any()
    assert asked == {torch.float32: 240, torch.float64: double}


def test_the_bounds_of_a_linear_model_are_exact() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(16, 4)
    model = HashModel(nn.Sequential(nn.Flatten(), layer), 4).eval()
    images, eps = torch.rand(3, 1, 4, 4).double().clamp(0.3, 0.7), 0.1
    weight, bias = layer.weight.double(), layer.bias.double()
    center = images.flatten(1) @ weight.T + bias
    for rule in ("intervals", "crown"):
        found = logit_bounds(model, images.float(), eps, rule=rule, all_bits=True)
        reach = (eps + TOLERANCE) * weight.abs().sum(1)
        torch.testing.assert_close(found.lower, center - reach, atol=5e-6, rtol=0)
        torch.testing.assert_close(found.upper, center + reach, atol=5e-6, rtol=0)


class Repeated(nn.Module):
    """A sum that repeats the values of one of its terms over the places or the channels of the other."""

    def __init__(self, term: nn.Module) -> None:
        super().__init__()
        self.term = term

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = features + self.term(features)
        return found


@pytest.mark.parametrize("term", [nn.AdaptiveAvgPool2d(1), nn.AvgPool2d((1, 3)), nn.Conv2d(2, 1, 1)], ids=repr)
def test_a_sum_that_repeats_a_term_has_bounds(term: nn.Module) -> None:
    torch.manual_seed(2)
    images, eps = torch.rand(3, 2, 3, 3).double().clamp(0.3, 0.7), 0.1
    straight = HashModel(nn.Sequential(Repeated(term), nn.Flatten(), nn.Linear(18, 4)), 4).eval()
    double = copy.deepcopy(straight).double()
    corners = torch.eye(18).double().view(18, 2, 3, 3)
    slopes = (double.logits(corners) - double.logits(torch.zeros_like(corners))).T
    reach = (eps + TOLERANCE) * slopes.abs().sum(1)  # of a model without a ReLU, exactly
    found = logit_bounds(straight, images.float(), eps, all_bits=True)
    torch.testing.assert_close(found.lower, double.logits(images) - reach, atol=5e-6, rtol=0)
    torch.testing.assert_close(found.upper, double.logits(images) + reach, atol=5e-6, rtol=0)
    bent = HashModel(nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), *straight.network.children()), 4).eval()
    box, double = threat_box(images.float(), eps), copy.deepcopy(bent).double()
    points = torch.cat([random_points(box, 2000), pgd_points(double, box)])
    tight = logit_bounds(bent, images.float(), eps, all_bits=True)
    assert outside(double, points, tight.lower, tight.upper) <= 0


def test_the_box_is_cut_with_the_range_of_pixels() -> None:
    box = threat_box(torch.tensor([0.0, 0.05, 0.5, 1.0]).view(1, 1, 2, 2), 0.1)
    wanted = torch.tensor([0.0, 0.0, 0.4, 0.9]), torch.tensor([0.1, 0.15, 0.6, 1.0])
    torch.testing.assert_close(box.lower.flatten().float(), wanted[0] - TOLERANCE)
    torch.testing.assert_close(box.upper.flatten().float(), wanted[1] + TOLERANCE)


def test_a_batch_norm_has_the_bounds_of_the_convolution_that_it_is_folded_into() -> None:
    torch.manual_seed(1)
    conv, norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)
    stir(nn.Sequential(conv, norm))
    folded = torch.nn.utils.fuse_conv_bn_eval(conv, norm)
    center, radius = torch.rand(2, 2, 5, 5), torch.rand(2, 2, 5, 5)
    box = Box(center - radius, center + radius)
    one, two = (propagate(trace(net), box).logits for net in (nn.Sequential(conv, norm), nn.Sequential(folded)))
    torch.testing.assert_close(one.lower, two.lower)
    torch.testing.assert_close(one.upper, two.upper)


def test_statistics_stand_in_for_those_of_a_norm() -> None:
    norm = nn.BatchNorm2d(2, affine=False).eval()
    images = torch.rand(4, 2, 3, 3)
    moments = images.mean((0, 2, 3)), images.var((0, 2, 3), correction=0)
    found = propagate(trace(nn.Sequential(norm)), Box(images, images), {norm: moments}).logits
    torch.testing.assert_close(found.lower, norm.train()(images))


def test_the_margin_is_part_of_the_bounds() -> None:
    model = random_model(0, 5)
    images = torch.rand(3, 1, 5, 5)
    found = logit_bounds(model, images, 0.0, rule="intervals")
    assert (found.clean - found.lower >= RELATIVE).all()
    assert (found.upper - found.clean >= RELATIVE).all()


def test_a_certain_maximum_is_exact_and_others_are_not_below_it() -> None:
    model = HashModel(nn.Sequential(QuickMaxPool2d(2), nn.Flatten()), 1).eval()
    images = torch.tensor([0.9, 0.1, 0.2, 0.3]).view(1, 1, 2, 2)
    found = logit_bounds(model, images, 0.05, all_bits=True)
    torch.testing.assert_close(found.upper, torch.tensor([[0.95]]).double(), atol=5e-6, rtol=0)
    torch.testing.assert_close(found.lower, torch.tensor([[0.85]]).double(), atol=5e-6, rtol=0)


class Sharpened(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        cubes: Tensor = images.flatten(1) ** 3
        return cubes


class Loud(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Flatten()

    def forward(self, images: Tensor) -> Tensor:
        return torch.sigmoid(self.flat(images))


class Scaled(nn.Module):
    """Uses a parameter of its own beside a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.scale = nn.Flatten(), nn.Parameter(torch.ones(4))

    def forward(self, images: Tensor) -> Tensor:
        scaled: Tensor = self.flat(images) * self.scale
        return scaled


class Twofold(nn.Module):
    """A layer between whose call and use the tensor it is given is changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.relu = nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.layer(images.flatten(1))
        doubled: Tensor = logits + self.relu(logits)
        return doubled


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Sequential(nn.Flatten(), nn.GELU()), "type GELU"),
        (nn.Sequential(nn.Softplus(), nn.Flatten()), "type Softplus"),  # the first layer
        (nn.Sequential(nn.Conv2d(1, 4, 2, padding_mode="reflect", padding=1), nn.Flatten()), "padding_mode=reflect"),
        (nn.Sequential(Sharpened(), nn.Linear(4, 4)), "type Sharpened"),
        (Loud(), "function sigmoid"),
        (nn.Sequential(Scaled()), "Sequential uses its tensor 0.scale outside of a layer"),
        (Transformed(lambda images: images, nn.Flatten()), "transformation"),
        (nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten()), "running statistics"),
        (Twofold(), "differ by"),
        (nn.Sequential(Repeated(nn.Flatten()), nn.Flatten()), "a sum of tensors of 4 and of 2 axes"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(network: nn.Module, words: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(NoCertificate, match=words) as refusal:
        logit_bounds(HashModel(network, 4), torch.rand(2, 1, 2, 2), 0.1)
    assert "\n" not in str(refusal.value)


def test_the_refusal_says_by_what_share_the_steps_miss_the_logits() -> None:
    network = Twofold()
    with torch.no_grad():
        network.layer.weight.zero_()
        network.layer.bias.fill_(-3)  # the steps add up to -3, the forward pass to 0
    with pytest.raises(NoCertificate, match="differ by 1 of their size"):
        logit_bounds(HashModel(network, 4), torch.rand(2, 1, 2, 2), 0.1)


def test_an_impossible_budget_is_refused() -> None:
    with pytest.raises(BadParameter, match="eps=8"):
        logit_bounds(random_model(0, 3), torch.rand(1, 1, 3, 3), 8)


def test_the_model_is_left_as_it_was() -> None:
    model = random_model(4, 5).train()
    before = copy.deepcopy(model.state_dict())
    logit_bounds(model, torch.rand(2, 1, 5, 5), 0.1)
    assert model.training
    assert all(weight.requires_grad for weight in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
