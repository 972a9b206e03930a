"""Linear bounds of a network, backward from its logits (CROWN-IBP, Zhang et al., ICLR 2020, arXiv 1906.06316).

Each ReLU that can be on or off lies between two lines; the lines' slopes go back through the layers to the pixels,
where the worst corner of the box of images is known.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hashbench.certification.graph import IMAGES, Graph
from hashbench.certification.intervals import Bounds, Box
from hashbench.certification.layers import Affine, Layer, MaxPool, Relu

VALUES = 1 << 22  # slopes of one layer that are held at once

Lines = tuple[Tensor, Tensor, Tensor]  # what a layer's relaxation needs, [n, ...] each


def lower_bounds(graph: Graph, images: Box, bounds: Bounds, rows: Tensor, weights: Tensor) -> Tensor:
    """A value that the weighted sum of the logits does not fall below, for each row of weights: [rows].

    Args:
        images: boxes of pixels [n, channels, height, width].
        bounds: what `propagate` found for them with `keep`.
        rows: which of the n boxes each row of weights is for [rows].
        weights: of the logits [rows, bits], of the precision of the graph's weights, in which the slopes are.
    """
    layers = [step.layer({}) for step in graph[1:]]
    lines = {
        number: _lines(layer, bounds.kept[graph[number].inputs[0]], weights.dtype)
        for number, layer in enumerate(layers, 1)
        if isinstance(layer, Relu | MaxPool)
    }
    at_once = max(1, VALUES // max(shape.numel() for shape in bounds.shapes.values()))
    found = [
        _backward(graph, layers, images, bounds, lines, *part)
        for part in zip(torch.split(rows, at_once), torch.split(weights, at_once), strict=True)
    ]
    return torch.cat(found) if found else weights.new_zeros(0)


def _backward(
    graph: Graph,
    layers: list[Layer],
    images: Box,
    bounds: Bounds,
    lines: dict[int, Lines],
    rows: Tensor,
    weights: Tensor,
) -> Tensor:
    slopes = {len(graph) - 1: weights}
    value = weights.new_zeros(len(weights))
    for number in range(len(layers), 0, -1):
        if number not in slopes:
            continue
        layer, inputs, given = layers[number - 1], graph[number].inputs, slopes.pop(number)
        shape = bounds.shapes[inputs[0]]
        if isinstance(layer, Affine):
            back, constant = _affine_back(layer, given, shape)
        elif isinstance(layer, Relu):
            back, constant = _relu_back(lines[number], given, rows)
        elif isinstance(layer, MaxPool):
            back, constant = _pool_back(lines[number], given, rows, shape)
        else:
            back, constant = given, value.new_zeros(())
        value = value + constant
        for place in inputs:  # a sum may have repeated an input, which takes the slopes of all its copies
            own = back.sum_to_size(len(given), *bounds.shapes[place])
            slopes[place] = slopes[place] + own if place in slopes else own
    pixels = slopes[IMAGES].flatten(1)
    center = ((images.lower + images.upper) / 2).to(pixels.dtype).flatten(1)[rows]
    radius = ((images.upper - images.lower) / 2).to(pixels.dtype).flatten(1)[rows]
    return value + (pixels * center).sum(1) - (pixels.abs() * radius).sum(1)


def _affine_back(layer: Affine, slopes: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    constant = (slopes * layer.apply(slopes.new_zeros(1, *shape))).flatten(1).sum(1)
    if layer.back is not None:
        return layer.back(slopes, shape), constant
    with torch.enable_grad():
        zeros = slopes.new_zeros(len(slopes), *shape).requires_grad_()
        (back,) = torch.autograd.grad(layer.apply(zeros), zeros, slopes)
    return back, constant


def _lines(layer: Relu | MaxPool, box: Box, dtype: torch.dtype) -> Lines:
    """For a ReLU: slopes of the lower and of the upper line, and the upper line's height at 0.

    For a max pool: the place of the entry that stands for its window, whether it is the maximum for certain, and
    the highest value of the window.
    """
    if isinstance(layer, MaxPool):
        _, places = layer.pool(box.lower)
        highest, _ = layer.pool(box.upper)
        return places, _certain(layer, box).to(dtype), highest.to(dtype)
    lower, upper = box.lower.clamp(max=0), box.upper.clamp(min=0)
    steep = upper / (upper - lower).clamp(min=torch.finfo(lower.dtype).tiny)
    under = (upper > -lower).to(dtype)  # the nearer of the lines 0 and x; exact where the sign is fixed
    return under, steep.to(dtype), (-steep * lower).to(dtype)


def _certain(layer: MaxPool, box: Box) -> Tensor:
    """1 where the entry with the highest lower end is the maximum whatever the image, else 0: [n, channels, h, w]."""
    best, places = layer.pool(box.lower)
    if layer.module.ceil_mode:
        return torch.zeros_like(best)
    own = box.upper.flatten(2).gather(2, places.flatten(2))
    others = (layer.windows(box.upper) > best.flatten(2)[:, :, None]).sum(2) - (own > best.flatten(2)).long()
    return (others == 0).to(best.dtype).reshape(best.shape)


def _relu_back(lines: Lines, slopes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    under, steep, height = (values[rows] for values in lines)
    positive, negative = slopes.clamp(min=0), slopes.clamp(max=0)
    return positive * under + negative * steep, (negative * height).flatten(1).sum(1)


def _pool_back(lines: Lines, slopes: Tensor, rows: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    places, certain, highest = (values[rows] for values in lines)
    positive, negative = slopes.clamp(min=0), slopes.clamp(max=0)
    taken = (positive + negative * certain).flatten(2)
    planes = slopes.new_zeros(len(slopes), shape[0], shape[1] * shape[2])
    back = planes.scatter_add(2, places.flatten(2), taken).reshape(-1, *shape)
    return back, (negative * (1 - certain) * highest).flatten(1).sum(1)
