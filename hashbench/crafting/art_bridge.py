"""The Adversarial Robustness Toolbox as a host: a hashing model as its estimator, its attacks as ours.

Imported only by the attacks that need it, since ART is slow to import. What its attacks get wrong for codes is
corrected here: they work in float32, get their random start and their final projection from hashbench, draw random
numbers that do not depend on the other queries of a batch, and never see class labels where codes are meant.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hashbench.crafting.search import noisy_start
from hashbench.models.data import Queries
from hashbench.models.model import HashModel
from hashbench.seeds import derive_seed
from hashbench.threat import Threat
from hashbench.types import Codes, Images


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    """Let ART, which writes ~/.art/config.json when it is imported, write into a temporary folder."""
    home = os.environ.get("HOME")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ["HOME"] = folder
        try:
            yield
        finally:
            os.environ.pop("HOME")
            if home is not None:
                os.environ["HOME"] = home


with _elsewhere():
    from art.attacks.evasion import (
        AutoProjectedGradientDescent,
        FastGradientMethod,
        HopSkipJump,
        MomentumIterativeMethod,
        ProjectedGradientDescentNumpy,
        SquareAttack,
        auto_projected_gradient_descent,
    )
    from art.estimators.classification import PyTorchClassifier
    from art.estimators.pytorch import PyTorchEstimator

__all__ = [
    "AutoProjectedGradientDescent",
    "FastGradientMethod",
    "HashEstimator",
    "HopSkipJump",
    "MomentumIterativeMethod",
    "ProjectedGradientDescentNumpy",
    "SquareAttack",
    "as_images",
    "budget",
    "decide_once",
    "each",
    "kept_state",
    "order",
    "prototype_head",
    "seed_numpy",
    "started_at",
    "stepwise",
    "together",
]  # fmt: skip

Array = NDArray[Any]
logging.getLogger("art").setLevel(logging.ERROR)


class HashEstimator(PyTorchEstimator):  # type: ignore[misc]
    """A hashing model for ART's attacks by gradients or scores: predictions and targets are codes [n, bits].

    Its loss is minus the mean product of relaxed code and target code, one value per image: an untargeted attack
    raises it, away from the target code; a targeted one lowers it.
    """

    def __init__(self, model: HashModel, shape: tuple[int, ...]) -> None:
        device = next(model.parameters()).device
        super().__init__(
            model=model,
            clip_values=(0.0, 1.0),
            channels_first=True,
            device_type="cpu" if device.type == "cpu" else "gpu",
        )
        self.place, self.shape = device, shape
        self.recent: dict[bytes, Array] = {}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Channels, height, width."""
        return self.shape

    def predict(self, x: Array, batch_size: int = 128, **kwargs: Any) -> Array:
        """Relaxed codes [n, bits]; the last few are cached, since ART asks for the same images again."""
        key = x.tobytes()
        if key not in self.recent:
            with torch.no_grad():
                codes = as_array(self._model(self._images(x)))
            self.recent = {**dict(list(self.recent.items())[-1:]), key: codes}
        return self.recent[key]

    def loss_gradient(self, x: Array, y: Array, **kwargs: Any) -> Array:
        """Gradient of each image's own loss with respect to its pixels."""
        images = self._images(x).requires_grad_()
        (gradient,) = torch.autograd.grad(self._losses(images, y).sum(), images)
        return as_array(gradient)

    def compute_loss(self, x: Array, y: Array, **kwargs: Any) -> Array:
        """The loss of each image."""
        return as_array(self._losses(self._images(x), y))

    def fit(self, x: Array, y: Array, batch_size: int = 128, nb_epochs: int = 20, **kwargs: Any) -> None:
        """Not supported: hashbench trains models itself.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("train the model with hashbench")

    def get_activations(self, x: Array, layer: int | str, batch_size: int = 128, framework: bool = False) -> Array:
        """Not supported: no attack here looks at layers.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("the estimator shows codes only")

    def _images(self, x: Array) -> Images:
        return torch.from_numpy(np.asarray(x, np.float32)).to(self.place)  # ART promotes to float64 under NumPy 2

    def _losses(self, images: Images, y: Array) -> Tensor:
        guide = torch.from_numpy(np.asarray(y, np.float32)).to(self.place)
        losses: Tensor = -(self._model(images) * guide).mean(1)
        return losses


class _Head(nn.Module):
    """Scores of prototypes: the relaxed code's inner product with each, divided by the root of the code length.

    The model is not a submodule, since ART sets the modes and gradients of the modules it is given.
    """

    def __init__(self, model: HashModel, prototypes: Codes) -> None:
        super().__init__()
        self.encode: Callable[[Images], Codes] = lambda images: model(images)
        self.bits = model.bits
        self.prototypes = nn.Parameter(prototypes, requires_grad=False)

    def forward(self, images: Images) -> Tensor:
        scores: Tensor = self.encode(images.float()) @ self.prototypes.T / self.bits**0.5
        return scores


def prototype_head(model: HashModel, prototypes: Codes, shape: tuple[int, ...]) -> Any:
    """A classifier for ART's attacks that need one: a code belongs to the prototype it agrees with most.

    It is a surrogate of retrieval: leaving the class takes fewer bits than leaving the neighbourhood. If there is
    only one class, its opposite code is added, since ART needs two.

    Args:
        prototypes: one code per class, [classes, bits].
        shape: channels, height, width.
    """
    device = prototypes.device
    if len(prototypes) == 1:
        prototypes = torch.cat([prototypes, -prototypes])
    return PyTorchClassifier(
        model=_Head(model, prototypes), loss=nn.CrossEntropyLoss(), input_shape=shape, nb_classes=len(prototypes),
        clip_values=(0.0, 1.0), device_type="cpu" if device.type == "cpu" else "gpu",
    )  # fmt: skip


def together(queries: Queries, threat: Threat, attack: Any, guide: Codes | None = None) -> Images:
    """Run an attack on a whole batch, and project its images onto the budget.

    Args:
        guide: the target code of each query [queries, bits]; if None, the classifier's own decision.
    """
    attack.set_params(batch_size=len(queries.images))  # some attacks handle momentum for a single batch only
    made = attack.generate(x=as_array(queries.images), y=None if guide is None else as_array(guide))
    return threat.project(as_images(made, queries.images), queries.images)


def stepwise(queries: Queries, threat: Threat, attack: Any, guide: Codes, steps: int) -> Images:
    """Run a one-step attack repeatedly from a random start, projecting after each step.

    ART draws random starts for classifiers only, and would center the ball on whatever image it starts from.
    """
    attack.set_params(batch_size=len(guide))
    images = noisy_start(queries, threat)
    for _ in range(steps):
        made = attack.generate(x=as_array(images), y=as_array(guide))
        images = threat.project(as_images(made, images), queries.images)
    return images


def each(queries: Queries, threat: Threat, craft: Callable[[int], Array]) -> Images:
    """Run an attack that draws random numbers on one query after another, and project its images onto the budget.

    Args:
        craft: position in the batch -> image [1, channels, height, width]; NumPy is seeded for it.
    """
    made = []
    with kept_state():
        for place, position in enumerate(queries.index.tolist()):
            seed_numpy("art", queries.seed, position)
            made.append(as_images(craft(place), queries.images))
    return threat.project(torch.cat(made), queries.images)


@contextlib.contextmanager
def kept_state() -> Iterator[None]:
    """Restore NumPy's global random state, from which ART draws, at the end of a block."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def seed_numpy(*parts: object) -> None:
    """Seed NumPy's global random state with everything that the next numbers may depend on."""
    np.random.seed(derive_seed(*parts) % 2**32)  # noqa: NPY002


def decide_once(head: Any) -> None:
    """Let a classifier's latest decision on some images hold when ART asks for it again.

    AutoPGD decides twice and attacks the queries of which both decisions agree, which for a model that draws random
    numbers are not all.
    """
    decide, latest = head.predict, dict[bytes, Array]()

    def predict(x: Array, **kwargs: Any) -> Array:
        scores: Array = latest.get(x.tobytes(), decide(x, **kwargs))  # decided again, since passes are counted
        latest.clear()
        latest[x.tobytes()] = scores
        return scores

    head.predict = predict


@contextlib.contextmanager
def started_at(noise: Images) -> Iterator[None]:
    """Let AutoPGD start from the given noise, since its own is drawn for a whole batch."""
    drawn = auto_projected_gradient_descent.random_sphere
    auto_projected_gradient_descent.random_sphere = lambda *sizes: as_array(noise.flatten(1))
    try:
        yield
    finally:
        auto_projected_gradient_descent.random_sphere = drawn


def budget(threat: Threat) -> float:
    """The threat's eps as ART accepts it: above zero."""
    return max(threat.eps, 1e-9)


def order(threat: Threat) -> float:
    """The threat's norm as ART names it."""
    return 2.0 if threat.norm == "l2" else np.inf


def as_array(tensor: Tensor) -> Array:
    """A copy of a tensor as a float32 array."""
    array: Array = tensor.detach().cpu().numpy().astype(np.float32)
    return array


def as_images(array: Array, like: Images) -> Images:
    """An array from ART as images, with the type and device of `like`."""
    return torch.from_numpy(np.asarray(array, np.float32)).to(like)
