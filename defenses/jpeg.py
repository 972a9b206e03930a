"""JPEG compression of whatever comes in (Dziugaite et al., arXiv 1608.00853)."""

from typing import Annotated

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from hashbench.data import ImageSet
from hashbench.model import HashModel
from hashbench.parameters import Interval
from hashbench.protocols import Method
from hashbench.registry import defense
from hashbench.threat import Threat
from hashbench.transformed import Transformed, straight_through
from hashbench.types import Images


@defense("jpeg", trains=False, transforms=True, paper="Dziugaite et al., arXiv 1608.00853")
def jpeg(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    quality: Annotated[int, Interval(1, 100)] = 50,
) -> HashModel:
    """Compress each image by JPEG and decompress it before it is coded.

    The codec is libjpeg by way of torchvision, on the CPU; gradients go straight through it.

    Args:
        quality: of the compression, 1 to 100.
    """

    def compressed(images: Images) -> Images:
        levels = (images.detach().clamp(0, 1) * 255).round().to("cpu", torch.uint8)  # bytes can't hold what is outside
        decoded: Tensor = functional.jpeg(levels, quality)
        return decoded.to(images) / 255

    return HashModel(Transformed(straight_through(compressed), model.network), model.bits)
