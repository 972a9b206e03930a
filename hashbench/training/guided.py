"""Guided adversarial training: codes of adversarial images are kept close to guide codes, as in CgAT and SAAT."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from hashbench.certification.refusal import NoCertificate, no_certificate
from hashbench.crafting.objectives import agreement
from hashbench.errors import BadParameter
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.parameters import Value
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import Batches, Guide, Guided, InnerAttack, untouched
from hashbench.training.budgets import Margins
from hashbench.training.interval import IntervalTerm, Worst, check_network, moments
from hashbench.training.loop import fit
from hashbench.training.mixing import Batch
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import REGULARISED, Regularisers, passed, perturbed_weights, warped_batch
from hashbench.training.resume import Stateful
from hashbench.training.unlabelled import PseudoLabelled
from hashbench.types import Codes, Images, Index, Labels, Scalar

# Attacked relaxed codes [batch, bits], labels of the batch, the memory of codes -> a term of the loss.
FurtherLoss = Callable[[Codes, Labels, Guided], Scalar]
NONE = Regularisers()
# What makes CgAT and SAAT strong on all data sets, at the same number of passes: docs/lap-2.md.
STRONG: Mapping[str, Value] = {"learning_rate": 0.02, "weight": 3.0, **REGULARISED}


def guided_training(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    guide: Guide,
    *,
    recipe: Recipe,
    inner: InnerAttack,
    weight: float,
    name: str,
    relaxed: bool = False,
    further: FurtherLoss | None = None,
    batches: Batches = "joint",
    regularisers: Regularisers = NONE,
) -> HashModel:
    """A copy of a model, trained to keep the codes of adversarial images close to guide codes.

    For each batch: the inner attack drives codes away from their guide codes, the batch's rows of the memory are
    refreshed, guide codes are recomputed, and the loss is taken (CgAT, Wang et al., WWW 2023).

    Args:
        weight: weight of the adversarial codes' agreement with their guide codes, relative to the hashing loss of
            clean images.
        relaxed: compute guide codes from relaxed codes.
        further: another term of the loss.
        batches: pass clean and adversarial images through the model as one batch, or apart, as the released code of
            CgAT and SAAT does: batch norm then uses the statistics of each.
        regularisers: weight perturbation, mixed batches, the interval term and others.

    Raises:
        BadOutput: it is to use images without labels, and none are at hand.
        BadParameter: it is to begin from random weights, and a layer does not say how to draw them.
        NoCertificate: there is an interval term, and the network has a layer without a bound, or the norm is not linf.
        TrainingDiverged: the loss is no longer finite.
    """
    student = with_random_weights(model) if regularisers.cold else copy.deepcopy(model)
    guided = Guided(encode(student, train), train.labels, guide, relaxed=relaxed)
    if regularisers.interval and (reason := no_certificate(threat)):
        raise NoCertificate(f"the interval term bounds boxes of images ({reason}); leave it out")
    interval = IntervalTerm(student, train, recipe, Worst()) if regularisers.interval else None
    margins = Margins(guided.labels, regularisers.by_margin) if regularisers.by_margin else None
    pseudo = PseudoLabelled.by(model) if regularisers.unlabelled else None
    loss = GuidedLoss(
        student, method, guided, threat, inner, weight, further, batches, regularisers, interval, margins, pseudo
    )
    state: dict[str, Stateful] = {"guided": guided}
    state |= {"clock": interval.clock} if interval else {}
    state |= {"margins": margins} if margins else {}
    return fit(student, train, method, loss, recipe, name=name, state=state)


def check_guided(
    model: HashModel, *, regularisers: Regularisers, batches: Batches = "joint", **parameters: object
) -> None:
    """Reject a network that the regularisers of a guided training can't work with, before anything is trained.

    Raises:
        BadParameter: it is to begin from random weights, and a layer does not say how to draw them; or there is an
            interval term, and clean and adversarial images go through batch norm apart.
        NoCertificate: there is an interval term, and the network has a layer without a bound.
    """
    if regularisers.interval and batches == "apart":
        raise BadParameter("interval bounds use the statistics of one joint batch; leave out batches=apart or interval")
    if regularisers.cold:
        with_random_weights(model)
    if regularisers.interval:
        check_network(model)


def with_random_weights(model: HashModel) -> HashModel:
    """A copy of a model as it is before any training; random numbers are drawn from the global state.

    Raises:
        BadParameter: a layer with weights has no `reset_parameters`.
    """
    fresh = copy.deepcopy(model)
    for layer in fresh.modules():
        if callable(draw := getattr(layer, "reset_parameters", None)):
            draw()
        elif next(layer.parameters(recurse=False), None) is not None:
            name = type(layer).__name__
            raise BadParameter(f"cold=true: the network's {name} has no reset_parameters; leave out cold")
    return fresh


@dataclass(frozen=True)
class GuidedLoss:
    """The loss of a batch of a guided training, with the inner attack before it."""

    student: HashModel
    method: Method
    guided: Guided
    threat: Threat
    inner: InnerAttack
    weight: float
    further: FurtherLoss | None
    batches: Batches
    regularisers: Regularisers
    interval: IntervalTerm | None
    margins: Margins | None = None
    pseudo: PseudoLabelled | None = None

    def __call__(self, images: Images, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch, and of images without labels beside it."""
        value = self._labelled(images, labels, index)
        return value if self.pseudo is None else value + self._pseudo_labelled(self.pseudo, len(images))

    def _pseudo_labelled(self, pseudo: PseudoLabelled, batch: int) -> Scalar:
        """Minus the agreement of clean and attacked codes with pseudo codes, as much as there are such images."""
        share = self.regularisers.unlabelled
        images, codes = pseudo.drawn(max(1, round(share * batch)))
        adversarial = self.inner.craft(self.student, images, lambda found: agreement(found, codes), self.threat)
        clean, attacked = self._codes(self.student, images, adversarial)
        return -share * (agreement(clean, codes) + self.weight * agreement(attacked, codes)).mean()

    def _labelled(self, images: Images, labels: Labels, index: Index) -> Scalar:
        images = warped_batch(images, self.regularisers.warp)
        batch = Batch.drawn(images, labels, index, self.regularisers.cutmix)
        away = batch.by_area(lambda own, _: self.guided.codes(own))
        shares = None if self.margins is None else self.margins.shares(index)
        adversarial = self.inner.craft(
            self.student, batch.images, lambda codes: agreement(codes, away), self.threat, shares
        )
        encoded: Callable[[Images], Codes] = self.student
        if self.regularisers.awp:
            with untouched(self.method):
                first = self._value(encoded, batch, adversarial)
            encoded = passed(self.student, perturbed_weights(self.student, first, self.regularisers.awp))
        if self.interval is None:
            return self._value(encoded, batch, adversarial)
        with moments(self.student) as statistics:
            value = self._value(encoded, batch, adversarial)
        guide = batch.by_area(lambda own, _: self.guided.codes(own))
        bound = self.interval(batch.images, guide, statistics, self.threat)
        return value + self.regularisers.interval * bound

    def _codes(self, encoded: Callable[[Images], Codes], images: Images, adversarial: Images) -> tuple[Codes, Codes]:
        """Relaxed codes of clean and crafted images, through one pass or two."""
        if self.batches == "apart":
            return encoded(images), encoded(adversarial)
        clean, attacked = encoded(torch.cat([images, adversarial])).chunk(2)
        return clean, attacked

    def _value(self, encoded: Callable[[Images], Codes], batch: Batch, adversarial: Images) -> Scalar:
        """The loss of clean and crafted images, encoded by the model or by a neighbour of it.

        Mixed images are not those of the training set, so that their codes enter no memory.
        """
        clean, attacked = self._codes(encoded, batch.images, adversarial)
        if batch.mix is None:
            if self.margins is not None:
                self.margins.note(batch.index, agreement(attacked, self.guided.codes(batch.labels)))
            value = guided_loss(self.method, self.guided, clean, attacked, batch.labels, batch.index, self.weight)
        else:
            value = batch.hashing(self.method, clean)
            toward = agreement(attacked, batch.by_area(lambda labels, _: self.guided.codes(labels))).mean()
            value = value - self.weight * toward
        further = self.further
        return value if further is None else value + batch.by_area(lambda own, _: further(attacked, own, self.guided))


def guided_loss(
    method: Method, guided: Guided, relaxed: Codes, attacked: Codes, labels: Labels, index: Index, weight: float
) -> Scalar:
    """Hashing loss of the clean codes minus the attacked codes' weighted agreement with refreshed guide codes."""
    guided.refresh(relaxed, index)
    toward = agreement(attacked, guided.codes(labels)).mean()
    return method(relaxed, labels, index) - weight * toward
