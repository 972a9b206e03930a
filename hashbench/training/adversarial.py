"""What adversarial trainings share: the inner attack, guide codes, and methods whose memory is left untouched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from hashbench.crafting.gradient_loop import descend
from hashbench.crafting.step_rules import constant
from hashbench.models.batch_norm_folding import folded
from hashbench.models.model import HashModel, binarize, frozen
from hashbench.registry.parameters import Count, Later, Positive, Share
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.types import Codes, GuideCodes, Images, Index, Labels, Scores

Mode = Annotated[Literal["eval", "train"], Later()]
Batches = Annotated[Literal["joint", "apart"], Later()]

# Codes [n, bits], their labels [n, classes], labels of a batch -> a guide code for each of the batch.
Guide = Callable[[Codes, Labels, Labels], GuideCodes]


@dataclass(frozen=True)
class InnerAttack:
    """The attack inside an adversarial training: constant-step PGD from a random start.

    Args:
        steps: gradient steps.
        step_ratio: step size divided by the attack's budget (2/255 of 8/255 in the papers' code).
        reach: the attack's budget divided by eps.
        mode: of the model while it is attacked: eval, or train as in the released code of CgAT, ATRDH and SAAT, where
            batch norm uses and updates the statistics of the attacked batch, and dropout is on.
    """

    steps: Count = 7
    step_ratio: Share = 0.25
    reach: Positive = 1.0
    mode: Mode = "eval"

    def craft(
        self, model: HashModel, images: Images, objective: Callable[[Codes], Scores], threat: Threat,
        shares: Scores | None = None,
    ) -> Images:  # fmt: skip
        """Images around the given ones whose relaxed codes lower the objective.

        Args:
            objective: relaxed codes of the batch -> one value per image, or one value for all.
            shares: factors of budget and steps, one per image; all 1 by default.
        """

        def scaled(candidates: Images) -> Images:
            if shares is None:
                return candidates
            moved = images + shares[:, None, None, None] * (candidates - images)
            return moved + (moved.clamp(0, 1) - moved).detach()  # a pixel at the end of its range can still come back

        reach = self.reach * threat.eps
        budget = replace(threat, eps=min(1.0, reach) if threat.norm == "linf" else reach)
        noise = 2 * torch.rand(images.shape).to(images.device) - 1
        start = budget.project(images + budget.noise(noise), images)
        with frozen(model):
            model.train(self.mode == "train")
            with folded(model):
                crafted, _ = descend(
                    start,
                    images,
                    lambda candidates: objective(model(scaled(candidates))).expand(len(candidates)),
                    budget,
                    steps=self.steps,
                    step_size=constant(self.step_ratio * budget.eps),
                    keep_best=False,
                )
        return scaled(crafted)


class Guided(nn.Module):
    """A memory of the codes of the training set, from which guide codes for its images are computed.

    Args:
        codes: the relaxed codes [n, bits] that training starts from.
        labels: labels of the training set [n, classes].
        guide: computes guide codes from the memory.
        relaxed: remember relaxed codes instead of binary ones.
    """

    memory: Tensor
    labels: Tensor

    def __init__(self, codes: Codes, labels: Labels, guide: Guide, *, relaxed: bool = False) -> None:
        super().__init__()
        self.guide, self.relaxed = guide, relaxed
        self.register_buffer("memory", self._kept(codes).clone())
        self.register_buffer("labels", labels.to(codes.device), persistent=False)

    def codes(self, labels: Labels) -> GuideCodes:
        """Guide codes [batch, bits] from the current memory."""
        return self.guide(self.memory, self.labels, labels)

    def refresh(self, relaxed: Codes, index: Index) -> None:
        """Write the codes of a batch into its rows of the memory."""
        self.memory[index] = self._kept(relaxed)

    def _kept(self, codes: Codes) -> Codes:
        return codes.detach() if self.relaxed else binarize(codes.detach())


@contextmanager
def untouched(method: Method) -> Iterator[None]:
    """Run a block that may call a method, and restore the method's memory afterwards."""
    owners = [(module, name) for module in method.modules() for name in module._buffers]
    originals = [module._buffers[name] for module, name in owners]
    for (module, name), buffer in zip(owners, originals, strict=True):
        module._buffers[name] = None if buffer is None else buffer.clone()
    try:
        yield
    finally:
        for (module, name), buffer in zip(owners, originals, strict=True):
            module._buffers[name] = buffer
