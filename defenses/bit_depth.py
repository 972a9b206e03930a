"""Fewer grey levels: feature squeezing by colour depth (Xu et al., NDSS 2018)."""

from typing import Annotated

from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.models.transformed import Transformed, straight_through
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import Range
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.types import Images


@defense("bit-depth", trains=False, transforms=True, paper="Xu et al., NDSS 2018")
def bit_depth(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    bits: Annotated[int, Range(1, 8)] = 3,
) -> HashModel:
    """Round each pixel to the nearest of a few equally spaced levels before the image is encoded.

    Gradients go straight through the rounding.

    Args:
        bits: bits per pixel, 1 to 8; the number of levels is 2 ** bits.
    """
    steps = (1 << bits) - 1

    def rounded(images: Images) -> Images:
        return (images * steps).round() / steps

    return HashModel(Transformed(straight_through(rounded), model.network), model.bits)
