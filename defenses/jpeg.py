"""JPEG compression of whatever comes in (Dziugaite et al., arXiv 1608.00853)."""

import io
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.models.transformed import Transformed, straight_through
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import Range
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.types import Images


@defense("jpeg", trains=False, transforms=True, paper="Dziugaite et al., arXiv 1608.00853")
def jpeg(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    quality: Annotated[int, Range(1, 100)] = 50,
) -> HashModel:
    """Compress each image with JPEG and decompress it before it is encoded.

    The codec is Pillow's, on the CPU, for images of one or three channels; gradients go straight through it.

    Args:
        quality: quality of the compression, 1 to 100.
    """

    def compressed(images: Images) -> Images:
        return torch.stack([recoded(image, quality) for image in images.detach().cpu()]).to(images)

    return HashModel(Transformed(straight_through(compressed), model.network), model.bits)


def recoded(image: Tensor, quality: int) -> Tensor:
    """An image [channels, height, width] after compression; its pixels are clamped to [0, 1] first."""
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels).save(file, "jpeg", quality=quality)
    decoded = np.array(Image.open(file), dtype=np.float32).reshape(levels.shape)
    return torch.from_numpy(decoded).permute(2, 0, 1) / 255
