"""Interval training of hashing networks: a loss term on the worst logits over a box of images.

Interval bounds as a training signal are from Gowal et al. (arXiv 1810.12715), the initialisation is from Shi et al.
(NeurIPS 2021, arXiv 2103.17268), the combination with an attack from De Palma et al. (ICLR 2024, arXiv 2305.13991).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from hashbench.certification.graph import Graph, trace
from hashbench.certification.intervals import Box, propagate
from hashbench.crafting.objectives import agreement
from hashbench.models.codes import center_code, encode
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.models.transformed import innermost
from hashbench.registry.parameters import Positive, Share
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import Guided, InnerAttack
from hashbench.training.loop import fit, steps_per_epoch
from hashbench.training.recipe import Recipe
from hashbench.types import Codes, GuideCodes, Images, Index, Labels, Scalar

Moments = dict[nn.Module, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Worst:
    """The loss term that bounds what any attack can do to a batch.

    Args:
        ramp: share of the steps over which the box's radius rises from 0.
        widen: the box's final radius divided by eps.
        start: initial weights: `clean` keeps those of the given model, whose norms hold boxes of radius 0 at
            the start; `shi` draws all convolutions and linear layers anew so that boxes keep their size from layer
            to layer, which deep networks and those without norms need.
    """

    ramp: Share = 0.7
    widen: Positive = 1.0
    start: Literal["clean", "shi"] = "clean"


def interval_training(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    recipe: Recipe,
    worst: Worst,
    weight: float,
    alpha: float,
    inner: InnerAttack | None,
    name: str,
) -> HashModel:
    """A copy of a model, trained so that over a whole box of images the logits have the signs of the guide codes.

    The loss is that of clean codes plus weight * ((1 - alpha) * adversarial + alpha * worst case). Both added
    terms are mean softplus(-logit * guide): over crafted images, and over each logit's worst value in the box.
    Guide codes are center codes of the training set's binary codes, as in CgAT.

    Args:
        inner: crafts the adversarial images; None omits them, and then alpha must be 1.

    Raises:
        NoCertificate: the network has a layer without a bound.
        TrainingDiverged: the loss is no longer finite.
    """
    student = copy.deepcopy(model)
    guided = Guided(encode(student, train), train.labels, center_code)
    term = IntervalTerm(student, train, recipe, worst)
    if worst.start == "shi":
        draw_weights(student)

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        crafted = _crafted(student, images, guided.codes(labels), inner, threat)
        with moments(student) as statistics:
            logits = student.logits(torch.cat([images, crafted]))
        clean = torch.tanh(logits[: len(images)])
        guided.refresh(clean, index)
        guide = guided.codes(labels)
        bound = term(images, guide, statistics, threat)
        value = method(clean, labels, index) + weight * alpha * bound
        adversarial = hinge(guide * logits[len(images) :], guide) if inner else 0
        return value + weight * (1 - alpha) * adversarial

    return fit(student, train, method, loss, recipe, name=name, state={"guided": guided, "clock": term.clock})


def _crafted(student: HashModel, images: Images, away: GuideCodes, inner: InnerAttack | None, threat: Threat) -> Images:
    """Images whose codes are led away from their guide codes; none without an inner attack."""
    if inner is None:
        return images[:0]
    return inner.craft(student, images, lambda codes: agreement(codes, away), threat)


class IntervalTerm:
    """The loss of the worst logits over boxes around a batch's images, whose radius grows during the training.

    Args:
        model: the network that is trained; its layers are read anew in each step.
        train: the training set, whose batches are counted.

    Raises:
        NoCertificate: the network has a layer without a bound.
    """

    def __init__(self, model: HashModel, train: ImageSet, recipe: Recipe, worst: Worst) -> None:
        self.model, self.graph, self.widen = model, trace(innermost(model)), worst.widen
        steps = steps_per_epoch(train, recipe) * recipe.epochs
        self.clock = Clock(max(1, round(worst.ramp * steps)))

    def __call__(self, images: Images, guide: GuideCodes, statistics: Moments, threat: Threat) -> Scalar:
        """Mean softplus(-worst logit * guide) at the radius of the next step."""
        eps = self.clock.tick() * self.widen * threat.eps
        return hinge(worst_logits(self.model, self.graph, images, eps, guide, statistics), guide)


def check_network(model: HashModel, **parameters: object) -> None:
    """Reject a network that can't be bounded, before anything is trained.

    Raises:
        NoCertificate: the network has a layer without a bound; names the layer.
    """
    trace(innermost(model))


def hinge(margins: Tensor, guide: GuideCodes) -> Scalar:
    """Mean softplus(-margin) over the bits for which the guide has a value."""
    weights = guide.abs()
    return (functional.softplus(-margins) * weights).sum() / weights.sum().clamp(min=1)


def worst_logits(
    model: HashModel, graph: Graph, images: Images, eps: float, guide: GuideCodes, statistics: Moments
) -> Codes:
    """min(guide * lower, guide * upper) of each logit over the l-inf balls within [0, 1]: [images, bits]."""
    box = interval_logits(model, graph, Box((images - eps).clamp(min=0), (images + eps).clamp(max=1)), statistics)
    return torch.minimum(guide * box.lower, guide * box.upper)


def interval_logits(model: HashModel, graph: Graph, box: Box, statistics: Moments) -> Box:
    """Interval bounds of the logits, counted as one pass for the images' lower bounds and one for their upper bounds.

    It runs as a call of the network, so that the hooks that count passes see both bounds go forward and their
    gradients come back.
    """
    network = innermost(model)

    def forward(ends: Tensor) -> Tensor:
        found = propagate(graph, Box(*ends.chunk(2)), statistics).logits
        return torch.cat([found.lower, found.upper])

    vars(network)["forward"] = forward
    try:
        lower, upper = network(torch.cat([box.lower, box.upper])).chunk(2)
    finally:
        vars(network).pop("forward")
    return Box(lower, upper)


@contextmanager
def moments(model: HashModel) -> Iterator[Moments]:
    """Collect the batch mean and variance that each norm in training mode uses inside the block."""
    found: Moments = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        axes = [axis for axis in range(inputs[0].dim()) if axis != 1]
        variance, mean = torch.var_mean(inputs[0].float(), axes, correction=0)
        found[module] = (mean, variance)

    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and m.training]
    handles = [norm.register_forward_pre_hook(note) for norm in norms]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def draw_weights(model: HashModel) -> None:
    """Draw convolutions and linear layers from N(0, 2 pi / inputs^2) and reset biases and norms, in place.

    This deviation keeps the mean width of boxes through a layer and its ReLU (Shi et al., 2021).
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=math.sqrt(2 * math.pi) / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Clock(nn.Module):
    """Counts steps, and returns how far along a ramp they are."""

    steps: Tensor

    def __init__(self, ramp: int) -> None:
        super().__init__()
        self.ramp = ramp
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def tick(self) -> float:
        """The share of the ramp completed, in (0, 1]."""
        self.steps += 1
        return min(1.0, self.steps.item() / self.ramp)
