"""Images that exist in no file: queries rotated, shifted and mixed with others of the same labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from hashbench.models.data import ImageSet
from hashbench.seeds import derive_seed
from hashbench.threat import Threat
from hashbench.types import Images

TURN, SHIFT = math.radians(2), 0.015  # largest ones; a shift is a share of the image's half width
SHARE = 0.1  # of another query in a mixture
FARTHER, TRIES = 1.5, 4  # turns and shifts grow until the image is farther than eps from its query


def new_images(queries: ImageSet, threat: Threat, seed: int) -> Images:
    """For each query an image with its labels that lies outside the budget around it, on the CPU.

    Args:
        seed: seed of rotations, shifts and partners; each run draws its own, so that nobody can know it in advance.
    """
    clean = queries.images[torch.arange(len(queries))].float().cpu()
    generator = torch.Generator().manual_seed(derive_seed("new images", seed))
    draws = 2 * torch.rand(len(clean), 3, generator=generator, dtype=torch.float32) - 1
    draws = draws.sign() * (0.5 + draws.abs() / 2)  # none stays where it was
    found, size = clean.clone(), torch.ones(len(clean), dtype=torch.float32)
    near = torch.ones(len(clean), dtype=torch.bool)
    for _ in range(TRIES):
        moved = _moved(clean, draws * size[:, None])
        chosen = torch.rand(len(clean), generator=generator, dtype=torch.float32)
        partners = _partners(queries.labels.cpu(), chosen)
        mixed = ((1 - SHARE) * moved + SHARE * moved[partners]).clamp(0, 1)
        found[near] = mixed[near]
        near = threat.distance(found, clean) <= threat.eps
        size[near] *= FARTHER
    return found


def _moved(images: Images, draws: Tensor) -> Images:
    angle, (right, down) = TURN * draws[:, 0], (SHIFT * draws[:, 1:]).unbind(1)
    rows = [torch.stack([angle.cos(), -angle.sin(), right], 1), torch.stack([angle.sin(), angle.cos(), down], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False).clamp(0, 1)


def _partners(labels: Tensor, draws: Tensor) -> Tensor:
    """For each query another one with the same labels, or itself if there is none."""
    same = (labels[:, None] == labels[None]).all(2).double()
    own = torch.eye(len(labels), dtype=torch.float64)
    weights = torch.where((same.sum(1) > 1)[:, None], same - own, own)
    places = (weights.cumsum(1) / weights.sum(1, keepdim=True)) > draws[:, None]
    return places.double().argmax(1)
