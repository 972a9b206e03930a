"""Train on noise that no seed of torch decides."""

import copy

import numpy as np
import torch

from hashbench import HashModel, ImageSet, Method, Threat, defense
from hashbench.training.loop import fit
from hashbench.training.recipe import Recipe
from hashbench.types import Images, Index, Labels, Scalar


@defense("bad-unseeded-noise")
def unseeded_noise(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
    """Train on noise that no seed of torch decides."""
    student, random = copy.deepcopy(model), np.random.default_rng()

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        noise = torch.from_numpy(random.uniform(-threat.eps, threat.eps, tuple(images.shape))).float()
        return method(student((images + noise).clamp(0, 1)), labels, index)

    return fit(student, train, method, loss, Recipe(1, 1e-3, 64))
