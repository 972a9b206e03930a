"""Pull every code to one place, where no attack moves it any more."""

import copy

import torch
from torch.nn import functional

from hashbench import HashModel, ImageSet, Method, Threat, defense
from hashbench.training.loop import fit
from hashbench.training.recipe import Recipe
from hashbench.types import Images, Index, Labels, Scalar


@defense("bad-collapsed-codes")
def collapsed_codes(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
    """Pull every code to one place, where no attack moves it any more."""
    student = copy.deepcopy(model)

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        codes = student(images)
        return functional.mse_loss(codes, torch.full_like(codes, 0.7))

    return fit(student, train, method, loss, Recipe(8, 0.02, 32))
