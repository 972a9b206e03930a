"""Moves of random search by squares of pixels, for both norms (Andriushchenko et al., ECCV 2020).

For linf a square takes the values +-eps. For l2 the budget is spent on few squares: a move gives the budget of one
square, and what is not spent yet, to another, in a pattern that is largest in the middle.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hashbench.models.data import Queries
from hashbench.threat import Threat
from hashbench.types import Images, Scores

# Shares of the steps after which the area of the squares is halved.
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
TILES = 5  # of the first l2 change, along each side of the image
CANCELLED = 1e-6  # a sum of two planes of norm 1 that is smaller would lose the budget


def square_search(
    queries: Queries, threat: Threat, score: Callable[[Images], Scores], *, steps: int, area: float
) -> Images:
    """Images that a random search came to: a change of squares is kept unless it raises an image's score.

    Args:
        score: what a black box tells of images: [images], to be made low.
        steps: changes to try; each image is scored once more at the start.
        area: share of the image that the first squares cover; it halves nine times.
    """
    clean = queries.images
    channels, height, width = clean.shape[1:]
    images = first_change(clean, threat, queries.draw(first_shape(threat, channels, height, width), stream=1))
    scores = score(images)
    numbers = queries.draw((steps, numbers_a_move(threat, channels)), stream=2)
    for step in range(steps):
        side = square_side(step / steps, area, height, width)
        tried = with_squares(images, clean, threat, numbers[:, step], side)
        tried_scores = score(tried)
        wins = tried_scores <= scores
        images = torch.where(wins[:, None, None, None], tried, images)
        scores = torch.where(wins, tried_scores, scores)
    return images


def square_side(progress: float, area: float, height: int, width: int) -> int:
    """The side of the squares in pixels, after a share of the steps."""
    share = area / 2 ** sum(progress > point for point in HALVINGS)
    side: float = (share * height * width) ** 0.5
    return min(max(round(side), 1), height, width)


def first_shape(threat: Threat, channels: int, height: int, width: int) -> tuple[int, ...]:
    """How many random numbers a query's first change takes."""
    return (channels, height, width) if threat.norm == "l2" else (channels, 1, width)


def first_change(clean: Images, threat: Threat, numbers: Tensor) -> Images:
    """The images that a search starts from: vertical stripes for linf, tiles for l2.

    Args:
        numbers: random numbers in [0, 1) of `first_shape` for each query.
    """
    if threat.norm != "l2":
        return threat.project(clean + threat.eps * _signs(numbers), clean)
    height, width = clean.shape[2:]
    side = max(1, round(max(height, width) / TILES))
    rows, columns = (torch.arange(size, device=clean.device) for size in (height, width))
    tile = pyramid((rows % side)[None], (columns % side)[None], side).to(clean)
    signs = _signs(numbers[:, :, (rows // side)[:, None], columns // side])
    return threat.project(clean + threat.eps * threat.steepest(tile[:, None] * signs), clean)


def numbers_a_move(threat: Threat, channels: int) -> int:
    """How many random numbers a query's move takes: places, and a sign for each channel."""
    return (5 if threat.norm == "l2" else 2) + channels


def with_squares(images: Images, clean: Images, threat: Threat, numbers: Tensor, side: int) -> Images:
    """Images with one move each, another sign for each channel.

    Args:
        numbers: [images, `numbers_a_move`] in [0, 1).
        side: of the squares, in pixels.
    """
    if threat.norm == "l2":
        return _moved(images, clean, threat, numbers, side)
    square = _squares(numbers[:, :2], side, *clean.shape[2:])
    signs = _signs(numbers[:, 2:])[:, :, None, None]
    return torch.where(square, threat.project(clean + threat.eps * signs, clean), images)


def pyramid(rows: Tensor, columns: Tensor, side: int) -> Tensor:
    """A pattern that grows towards the middle of a square: [images, height, width]; 0 outside of it.

    At m pixels from the nearest edge it is the sum of 1 / (n + 1 - k)^2 over k from 0 to m, where n is half the side.

    Args:
        rows, columns: positions relative to the square's corner, [images, height] and [images, width].

    >>> pyramid(torch.arange(3)[None], torch.arange(3)[None], 3)[0].tolist()
    [[0.25, 0.25, 0.25], [0.25, 1.25, 0.25], [0.25, 0.25, 0.25]]
    """
    depth = torch.minimum(
        torch.minimum(rows, side - 1 - rows)[:, :, None], torch.minimum(columns, side - 1 - columns)[:, None]
    )
    steps = 1 / (side // 2 + 1 - torch.arange((side + 1) // 2, device=rows.device)).float() ** 2
    heights = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    return heights[(depth + 1).clamp(min=0)]


def _moved(images: Images, clean: Images, threat: Threat, numbers: Tensor, side: int) -> Images:
    """Images of which one square takes the budget of another, and what is left, in its own change plus a pattern."""
    height, width = clean.shape[2:]
    change = images - clean
    taking, giving = (_squares(numbers[:, place : place + 2], side, height, width) for place in (0, 2))
    rows, columns = _offsets(numbers[:, :2], side, height, width)
    half = torch.where(numbers[:, 4, None, None] < 0.5, rows[:, :, None], columns[:, None]) < side / 2
    pattern = (pyramid(rows, columns, side) * torch.where(half, 1.0, -1.0))[:, None].to(clean)
    pattern = _signs(numbers[:, 5:])[:, :, None, None] * _scaled(pattern)
    own = _scaled(change * taking) + pattern
    own = torch.where(own.abs().amax((2, 3), keepdim=True) < CANCELLED, pattern, own)
    spent = (change * (taking | giving)).square().sum((2, 3), keepdim=True)
    left = (threat.eps**2 - change.square().sum((1, 2, 3), keepdim=True)).clamp(min=0) / clean.shape[1]
    change = torch.where(taking, _scaled(own) * (spent + left).sqrt(), change * ~giving)
    return threat.project(clean + change, clean)


def _scaled(planes: Tensor) -> Tensor:
    """Planes [images, channels, height, width] of l2 norm 1 each; 0 where a plane is 0."""
    return planes / planes.square().sum((2, 3), keepdim=True).sqrt().clamp(min=torch.finfo(planes.dtype).tiny)


def _offsets(numbers: Tensor, side: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows [images, height] and columns [images, width] relative to the corners of squares."""
    top = (numbers[:, 0] * (height - side + 1)).long()[:, None]
    left = (numbers[:, 1] * (width - side + 1)).long()[:, None]
    return torch.arange(height, device=top.device) - top, torch.arange(width, device=top.device) - left


def _squares(numbers: Tensor, side: int, height: int, width: int) -> Tensor:
    """Masks [images, 1, height, width] of one square each, at places given by numbers in [0, 1)."""
    rows, columns = _offsets(numbers, side, height, width)
    in_rows, in_columns = (rows >= 0) & (rows < side), (columns >= 0) & (columns < side)
    return (in_rows[:, :, None] & in_columns[:, None, :])[:, None]


def _signs(numbers: Tensor) -> Tensor:
    """Numbers in [0, 1) as -1 or +1."""
    return torch.where(numbers < 0.5, -1.0, 1.0)
