"""One patch for all queries: ours, after the idea of AdvHash (Hu et al., ACM MM 2021)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hashbench.crafting.objectives import agreement, masked_agreement
from hashbench.models.codes import encode, mainstay_code
from hashbench.models.data import Queries, Victim
from hashbench.models.helpers import Tensors
from hashbench.models.model import binarize
from hashbench.progress import track
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import GuideCodes, Images


@attack(
    "patch-hamming",
    threats=("patch",),
    paper="ours, after the idea of Hu et al., ACM MM 2021 (AdvHash)",
    version=2,
    presets={"quick": {"epochs": 1, "places": 2}},
)
def patch_hamming(
    victim: Victim,
    threat: Threat,
    *,
    epochs: Count = 20,
    batch_size: Count = 100,
    step_ratio: Share = 0.1,
    places: Count = 16,
) -> Craft:
    """Paste one and the same square of pixels into all queries: it drives training images away from their guide codes.

    The square is learned once per victim by signed steps on the masked objective, averaged over a batch of training
    images that have it at random places. Each query gets it at the one of some random places where its code agrees
    least with its guide code; the pixels of the square are the same for all.

    Args:
        epochs: passes over the training images.
        batch_size: images per step.
        step_ratio: first step, in pixel units of [0, 1]; it falls linearly to zero.
        places: random places that are tried for each query, one forward pass each.
    """
    train = victim.train
    memory = binarize(encode(victim.model, train))

    def make() -> Tensors:
        steps = [step_ratio * (1 - epoch / epochs) for epoch in range(epochs)]
        return {"patch": learned(victim, mainstay_code(memory, train.labels, train.labels), threat, batch_size, steps)}

    settings = {"epochs": epochs, "batch_size": batch_size, "step_ratio": step_ratio, **threat.settings}
    patch = victim.keep("patch", settings, make)["patch"].to(memory)

    def craft(queries: Queries) -> Images:
        guide = mainstay_code(memory, train.labels, queries.labels)
        spots = queries.draw((places, 2), stream=1)
        best, lowest = queries.images, torch.full((len(guide),), torch.inf, device=guide.device)
        for place in range(places):
            tried = pasted(queries.images, patch, spots[:, place], threat.eps)
            with torch.no_grad():
                score = agreement(victim.model(tried), guide)
            wins = score < lowest
            best = torch.where(wins[:, None, None, None], tried, best)
            lowest = torch.where(wins, score.to(lowest), lowest)
        return threat.project(best, queries.images)

    return craft


def learned(victim: Victim, guides: GuideCodes, threat: Threat, batch_size: int, steps: Sequence[float]) -> Images:
    """The patch [1, channels, side, side] that leads training images away from their guide codes.

    Args:
        guides: of the training images, [images, bits].
        steps: the size of a step in each epoch.
    """
    channels, height, width = victim.train.images[torch.arange(1)].shape[1:]
    side = min(threat.side, height, width)
    patch = torch.rand(1, channels, side, side).to(guides)
    for step in track(steps, "universal patch"):
        for index in torch.split(torch.randperm(len(guides)), batch_size):
            images, spots = victim.train.images[index].to(guides), torch.rand(len(index), 2).to(guides)
            patch.requires_grad_()
            codes = victim.model(pasted(images, patch, spots, threat.eps))
            loss = masked_agreement(codes, guides[index.to(guides.device)]).mean()
            (gradient,) = torch.autograd.grad(loss, patch)
            patch = (patch.detach() - step * gradient.sign()).clamp(0, 1)
    return patch


def pasted(images: Images, patch: Images, spots: Tensor, eps: float) -> Images:
    """Images with a square of other pixels, which move by at most eps.

    Args:
        patch: [1, channels, side, side].
        spots: where each image has it, [images, 2] in [0, 1).
    """
    height, width = images.shape[2:]
    side = patch.shape[2]
    corners = (spots * torch.tensor([height - side + 1, width - side + 1]).to(spots)).long()
    top, left = corners[:, :1], corners[:, 1:]
    rows, columns = torch.arange(height, device=top.device) - top, torch.arange(width, device=top.device) - left
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
    spread = patch[0][:, rows.clamp(0, side - 1)[:, :, None], columns.clamp(0, side - 1)[:, None]].transpose(0, 1)
    return torch.where(inside[:, None], images + (spread - images).clamp(-eps, eps), images)
