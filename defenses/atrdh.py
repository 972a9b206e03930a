"""ATRDH: adversarial training against prototype-supervised targeted attacks (Wang et al., SIGIR 2021)."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from hashbench.crafting.objectives import disagreement
from hashbench.crafting.prototype_networks import CodeNet, code_net_loss, new_optimiser
from hashbench.crafting.targets import label_sets
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel, binarize
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import NonNegative, Positive
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import InnerAttack
from hashbench.training.loop import fit, steps_per_epoch
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import UNMIXED
from hashbench.training.resume import Stateful
from hashbench.types import BinaryCodes, Codes, Images, Index, Labels, Scalar

RECIPE = Recipe(learning_rate=0.01)
INNER = InnerAttack()


@defense(
    "atrdh",
    paper="Wang et al., SIGIR 2021",
    grid={"preset": ("default", "regularised"), "learning_rate": (0.01, 0.02), "weight": (1.0, 3.0)},
    presets={"regularised": UNMIXED},  # its memories have no place for codes of mixed images
)
def atrdh(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    recipe: Recipe = RECIPE,
    inner: InnerAttack = INNER,
    weight: NonNegative = 1.0,
    prototype_rate: Positive = 1e-3,
    pairs: Literal["all", "official"] = "all",
) -> HashModel:
    """Train against targeted attacks towards the codes that a co-trained prototype network gives random labels.

    For each batch: a step of the prototype network on label sets drawn at random, targeted PGD towards its codes,
    then hashing loss of the clean codes plus regression of the adversarial ones onto the labels' similarity to the
    whole training set. The memories start from the model's own codes; those of the released code start from zeros.
    The released code trains for 100 epochs with batches of 32 images and
    `learning_rate=1e-4,momentum=0.5,schedule=halves,prototype_rate=1e-4`.

    Args:
        weight: weight of the adversarial codes' regression (1 in the released code).
        prototype_rate: learning rate of the prototype network.
        pairs: pairs of label set and training image in the circle loss: all, or official, as in the released code,
            which by an oversight leaves out the pairs of label set i with images 0 to i.
    """
    student = copy.deepcopy(model)
    steps = recipe.epochs * steps_per_epoch(train, recipe)
    targeted = RandomTargets(encode(student, train), train.labels, prototype_rate, steps, upper=pairs == "official")
    sets = label_sets(targeted.labels)

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        relaxed = student(images)
        targets = sets[torch.randint(len(sets), (len(images),)).to(sets.device)]
        wanted = targeted.prototypes_of(targets, relaxed, index)
        adversarial = inner.craft(student, images, lambda codes: disagreement(codes, wanted), threat)
        regression = targeted.regression(student(adversarial), relaxed, labels, index)
        return method(relaxed, labels, index) + weight * regression

    state: dict[str, Stateful] = {
        "targeted": targeted,
        "optimiser of prototypes": targeted.optimiser,
        "drops": targeted.schedule,
    }
    return fit(student, train, method, loss, recipe, name="atrdh", state=state)


class RandomTargets(nn.Module):
    """The prototype network with its training, and the memories of binary and relaxed codes beside it.

    Args:
        codes: relaxed codes [n, bits] that training starts from.
        labels: labels of the training set [n, classes].
        rate: learning rate of the prototype network.
        steps: batches that the network will be trained on.
        upper: see `circle_loss`.
    """

    signs: Tensor
    outputs: Tensor
    labels: Tensor

    def __init__(self, codes: Codes, labels: Labels, rate: float, steps: int, *, upper: bool) -> None:
        super().__init__()
        self.upper = upper
        self.register_buffer("signs", binarize(codes))
        self.register_buffer("outputs", codes.clone())
        self.register_buffer("labels", labels.to(codes.device), persistent=False)
        self.net = CodeNet(labels.shape[1], codes.shape[1]).to(codes.device)
        self.optimiser, self.schedule = new_optimiser(self.net, rate, steps)

    def prototypes_of(self, targets: Labels, relaxed: Codes, index: Index) -> BinaryCodes:
        """Prototype codes [batch, bits] of target labels, before the network's step on them.

        Args:
            relaxed: the clean codes of the batch, which go into the memory of binary codes first.
        """
        self.signs[index] = binarize(relaxed.detach())
        with torch.no_grad():
            codes = binarize(self.net(targets))
        loss = code_net_loss(self.net, targets, self.signs, self.labels, upper=self.upper)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.schedule.step()
        return codes

    def regression(self, attacked: Codes, relaxed: Codes, labels: Labels, index: Index) -> Scalar:
        """Mean of (h'.u / bits - S)^2 over adversarial codes h' and the memory of relaxed codes u, S in {-1, +1}.

        Args:
            relaxed: the clean codes of the batch, which go into the memory first.
        """
        self.outputs[index] = relaxed.detach()
        similar = 2 * (labels @ self.labels.T > 0).to(attacked.dtype) - 1
        return ((attacked @ self.outputs.T / attacked.shape[1] - similar) ** 2).mean()
