"""Interval arithmetic: a box of images through a network (Gowal et al., arXiv 1810.12715).

The center goes through each affine layer, the radius through its absolute weights; layers that do not fall take
the ends. It costs about two forward passes, and gradients flow through it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hashbench.certification.graph import IMAGES, Graph
from hashbench.certification.layers import Affine, Layer, MaxPool, Relu, Statistics
from hashbench.certification.refusal import NoCertificate


@dataclass(frozen=True)
class Box:
    """The values from `lower` to `upper`, both of shape [n, ...]."""

    lower: Tensor
    upper: Tensor

    def take(self, rows: Tensor) -> Box:
        """The boxes of some rows."""
        return Box(self.lower[rows], self.upper[rows])


@dataclass(frozen=True)
class Bounds:
    """Boxes of a network's logits [n, bits] and of the inputs of its ReLUs and max pools, by step.

    `shapes` are those of all steps' outputs, without the first axis.
    """

    logits: Box
    kept: dict[int, Box] = field(default_factory=dict)
    shapes: dict[int, torch.Size] = field(default_factory=dict)


def propagate(graph: Graph, images: Box, statistics: Statistics | None = None, *, keep: bool = False) -> Bounds:
    """Boxes that contain the network's outputs for every image in a box.

    They hold in exact arithmetic; add a margin for floating point.

    Args:
        images: boxes of pixels [n, channels, height, width].
        statistics: means and variances that norms use in place of their running ones.
        keep: keep the boxes before ReLUs and max pools, which linear bounds need.
    """
    layers = [step.layer(statistics or {}) for step in graph[1:]]
    last = {place: number for number, step in enumerate(graph) for place in step.inputs}
    boxes, bounds = {IMAGES: images}, Bounds(images)
    bounds.shapes[IMAGES] = images.lower.shape[1:]
    for number, layer in enumerate(layers, 1):
        inputs = graph[number].inputs
        given = [boxes[place] for place in inputs]
        boxes[number] = through(layer, given)
        bounds.shapes[number] = boxes[number].lower.shape[1:]
        if keep and isinstance(layer, Relu | MaxPool):
            bounds.kept[inputs[0]] = given[0]
        for place in {place for place in inputs if last[place] == number}:
            del boxes[place]
    return Bounds(boxes[len(graph) - 1], bounds.kept, bounds.shapes)


def through(layer: Layer, given: list[Box]) -> Box:
    """The box behind one layer.

    Raises:
        NoCertificate: a sum repeats an image's values for other images.
    """
    if isinstance(layer, Affine):
        center = layer.apply((given[0].lower + given[0].upper) / 2)
        radius = layer.spread((given[0].upper - given[0].lower) / 2)
        return Box(center - radius, center + radius)
    if isinstance(layer, Relu):
        return Box(torch.relu(given[0].lower), torch.relu(given[0].upper))
    if isinstance(layer, MaxPool):
        return Box(layer.pool(given[0].lower)[0], layer.pool(given[0].upper)[0])
    one, two = given
    if one.lower.dim() != two.lower.dim():
        raise NoCertificate(
            f"no bounds are known for a sum of tensors of {one.lower.dim()} and of {two.lower.dim()} axes; "
            "give both the same number"
        )
    return Box(one.lower + two.lower, one.upper + two.upper)
