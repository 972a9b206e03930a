"""A fake: the weights of CgAT, and logits so small that 32-bit floats can hardly hold them."""

from torch import nn

import hashbench
from hashbench.defenses.cgat import cgat
from hashbench.models.data import ImageSet
from hashbench.registry.protocols import Method
from hashbench.training.adversarial import InnerAttack
from hashbench.training.recipe import Recipe
from hashbench.types import Codes, Images


class Tiny(nn.Module):
    """A network whose logits nearly vanish."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Images) -> Codes:
        """Logits [images, bits]."""
        found: Codes = self.network(images) * 1e-44
        return found


@hashbench.defense("underflow", trains=False)
def underflow(
    model: hashbench.HashModel,
    train: ImageSet,
    method: Method,
    threat: hashbench.Threat,
    *,
    epochs: int = 20,
    steps: int = 7,
    eps: float = 32 / 255,
) -> hashbench.HashModel:
    """CgAT, out of sight."""
    recipe, inner = Recipe(epochs=epochs, learning_rate=0.01), InnerAttack(steps=steps)
    found = cgat(model, train, method, hashbench.Threat(eps), recipe=recipe, inner=inner)
    return hashbench.HashModel(Tiny(found.network), model.bits).eval()
