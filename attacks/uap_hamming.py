"""One perturbation for all queries (Moosavi-Dezfooli et al., CVPR 2017), on the masked objective of SAAT."""

import torch

from hashbench.crafting.objectives import masked_agreement
from hashbench.models.codes import encode, mainstay_code
from hashbench.models.data import Queries, Victim
from hashbench.models.helpers import Tensors
from hashbench.models.model import binarize
from hashbench.progress import track
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "uap-hamming",
    threats=("linf", "l2"),
    paper="Moosavi-Dezfooli et al., CVPR 2017, on the objective of Yuan et al., TIFS 2023",
    presets={"quick": {"epochs": 1}},
)
def uap_hamming(
    victim: Victim, threat: Threat, *, epochs: Count = 10, batch_size: Count = 100, step_ratio: Share = 0.1
) -> Craft:
    """Add one and the same perturbation to all queries: it drives training images away from their guide codes.

    It is learned once per victim by steps of steepest descent on the masked objective, averaged over a batch of
    training images, and needs neither the queries nor their labels.

    Args:
        epochs: passes over the training images.
        batch_size: images per step.
        step_ratio: first step divided by eps; it falls linearly to zero.
    """
    train = victim.train

    def make() -> Tensors:
        memory = binarize(encode(victim.model, train))
        guides = mainstay_code(memory, train.labels, train.labels)
        delta = torch.zeros_like(train.images[torch.arange(1)]).to(memory.device)
        for epoch in track(range(epochs), "universal perturbation"):
            for index in torch.split(torch.randperm(len(train)), batch_size):
                images = train.images[index].to(memory.device)
                delta.requires_grad_()
                moved = (images + delta).clamp(0, 1)
                loss = masked_agreement(victim.model(moved), guides[index.to(memory.device)]).mean()
                (gradient,) = torch.autograd.grad(loss, delta)
                step = threat.eps * step_ratio * (1 - epoch / epochs)
                delta = threat.shrink(delta.detach() - step * threat.steepest(gradient))
        return {"delta": delta}

    settings = {"epochs": epochs, "batch_size": batch_size, "step_ratio": step_ratio, **threat.settings}
    delta = victim.keep("uap", settings, make)["delta"].to(victim.gallery.codes.device)

    def craft(queries: Queries) -> Images:
        return threat.project(queries.images + delta, queries.images)

    return craft
