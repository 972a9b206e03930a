"""CRDAT: a clean teacher distilled into a robust student (after Zhu et al., SIGIR 2025)."""

from __future__ import annotations

import copy
from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional

from hashbench.crafting.objectives import agreement
from hashbench.models.data import ImageSet
from hashbench.models.layers import last_linear
from hashbench.models.model import HashModel, binarize, frozen
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import Later, NonNegative, Share
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import InnerAttack
from hashbench.training.loop import fit
from hashbench.training.mixing import Batch
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import REGULARISED
from hashbench.types import Codes, Images, Index, Labels, Scalar

RECIPE = Recipe(learning_rate=0.01)
INNER = InnerAttack()


@defense(
    "crdat",
    paper="after Zhu et al., SIGIR 2025",
    grid={"preset": ("default", "regularised"), "learning_rate": (0.01, 0.02), "features": (0.3, 1.0)},
    presets={"regularised": REGULARISED},
)
def crdat(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    recipe: Recipe = RECIPE,
    inner: InnerAttack = INNER,
    features: NonNegative = 1.0,
    cutmix: Annotated[Share, Later()] = 0.0,
) -> HashModel:
    """Train a student to give adversarial images the codes and features that its clean teacher gives clean ones.

    From the paper: the teacher is the clean model, the student learns its codes and features on adversarial examples,
    and the hashing loss is not used. Ours, since no more of the paper was available: the student starts as a copy of
    the teacher; the inner attack moves its codes away from the teacher's binary ones; codes are compared by their
    mean product with those, features (what enters the last linear layer) by their cosine.

    Args:
        features: weight of the feature term.
        cutmix: probability that the images of a batch are mixed.
    """
    student, teacher = copy.deepcopy(model), copy.deepcopy(model)

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        images = Batch.drawn(images, labels, index, cutmix).images
        with frozen(teacher):
            relaxed, known = codes_and_features(teacher, images)
        wanted = binarize(relaxed.detach())
        adversarial = inner.craft(student, images, lambda codes: agreement(codes, wanted), threat)
        attacked, seen = codes_and_features(student, adversarial)
        likeness = functional.cosine_similarity(seen, known.detach(), dim=1)
        return (features * (1 - likeness) - agreement(attacked, wanted)).mean()

    return fit(student, train, method, loss, recipe, name="crdat")


def codes_and_features(model: HashModel, images: Images) -> tuple[Codes, Tensor]:
    """Relaxed codes [images, bits], and what enters the network's last linear layer [images, features]."""
    entered: list[Tensor] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        entered.append(inputs[0])

    _, layer = last_linear(model.network)
    handle = layer.register_forward_pre_hook(note)
    try:
        codes = model(images)
    finally:
        handle.remove()
    return codes, entered[-1]
