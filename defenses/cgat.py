"""CgAT: center-guided adversarial training (Wang, Lin and Li, WWW 2023)."""

from __future__ import annotations

import copy
from typing import Literal

import torch

from hashbench.codes import center_code, encode
from hashbench.data import ImageSet
from hashbench.model import HashModel, binarize, frozen
from hashbench.parameters import Count, NonNegative, Positive, Share
from hashbench.perturb import descend
from hashbench.protocols import Method
from hashbench.recipe import OptimiserName, Recipe, ScheduleName
from hashbench.registry import defense
from hashbench.threat import Threat
from hashbench.training import fit
from hashbench.types import Codes, GuideCodes, Images, Index, Labels, Scalar, Scores


@defense("cgat", paper="Wang et al., WWW 2023")
def cgat(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    epochs: Count = 20,
    learning_rate: Positive = 0.01,
    batch_size: Count = 64,
    optimiser: OptimiserName = "adam",
    schedule: ScheduleName = "one-cycle",
    momentum: Share = 0.9,
    weight_decay: NonNegative = 0.0,
    weight: NonNegative = 1.0,
    steps: Count = 7,
    step_ratio: Share = 0.25,
    memory: Literal["codes", "relaxed"] = "codes",
) -> HashModel:
    """Train on hashing loss of clean images plus distance of adversarial codes to their center codes.

    For each batch: PGD away from the center codes, the batch's rows of the code memory are refreshed,
    center codes are taken again, and the model learns to put the adversarial images' codes on them.
    The defaults of optimiser and schedule are ours; the released code trains for 30 epochs of 32 images with
    `optimiser=sgd,schedule=halves,weight_decay=5e-4`.

    Args:
        optimiser: as in the clean training; so are schedule, momentum and weight_decay.
        weight: of the adversarial term (lambda; 1 in the paper's code).
        steps: PGD steps of the inner attack, from a random start.
        step_ratio: their size divided by eps (2/255 of 8/255 in the paper's code).
        memory: make centers from binary codes, as the paper says, or from relaxed ones, as the
            released code does because its two memories share their storage.
    """
    student = copy.deepcopy(model)
    objective = CenterGuided(encode(student, train), train.labels, method, weight, memory)

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        adversarial = inner_attack(student, images, objective.centers(labels), threat, steps, step_ratio)
        relaxed, attacked = student(torch.cat([images, adversarial])).chunk(2)
        return objective(relaxed, attacked, labels, index)

    recipe = Recipe(optimiser, schedule, momentum, weight_decay)
    return fit(
        student,
        train,
        method,
        loss,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        recipe=recipe,
        name="cgat",
    )


class CenterGuided:
    """CgAT's objective with its memory of the codes of the training set."""

    def __init__(
        self, codes: Codes, labels: Labels, method: Method, weight: float, memory: Literal["codes", "relaxed"]
    ) -> None:
        self.labels, self.method, self.weight = labels, method, weight
        self.keep = binarize if memory == "codes" else torch.Tensor.detach
        self.memory = self.keep(codes).clone()

    def centers(self, labels: Labels) -> GuideCodes:
        """Center codes [batch, bits] from the memory as it stands."""
        return center_code(self.memory, self.labels, labels)

    def __call__(self, relaxed: Codes, attacked: Codes, labels: Labels, index: Index) -> Scalar:
        """Hashing loss of the clean codes minus the attacked codes' agreement with refreshed centers."""
        self.memory[index] = self.keep(relaxed.detach())
        agreement = (attacked * self.centers(labels)).mean()
        return self.method(relaxed, labels, index) - self.weight * agreement


def inner_attack(
    model: HashModel, images: Images, centers: GuideCodes, threat: Threat, steps: int, step_ratio: float
) -> Images:
    """Constant-step PGD away from the centers from a random start, with the model in eval mode."""

    def agreement(candidates: Images) -> Scores:
        return (model(candidates) * centers).mean(1)

    noise = 2 * torch.rand(images.shape).to(images.device) - 1
    start = threat.project(images + threat.eps * noise, images)
    with frozen(model):
        adversarial, _ = descend(
            start,
            images,
            agreement,
            threat,
            steps=steps,
            step_size=lambda progress: threat.eps * step_ratio,
            keep_best=False,
        )
    return adversarial
