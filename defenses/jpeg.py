"""JPEG compression of whatever comes in (Dziugaite et al., arXiv 1608.00853)."""

import io
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

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

    The codec is Pillow's libjpeg, on the CPU, with its usual halved resolution of colours; gradients go
    straight through it.

    Args:
        quality: of the compression, 1 to 100.
    """

    def compressed(images: Images) -> Images:
        levels = (images.clamp(0, 1) * 255).round().byte()  # bytes can't hold what is outside
        found = [_decoded(image, quality) for image in levels.permute(0, 2, 3, 1).cpu().numpy()]
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).to(images) / 255

    return HashModel(Transformed(straight_through(compressed), model.network), model.bits)


def _decoded(image: NDArray[np.uint8], quality: int) -> NDArray[Any]:
    """An image [height, width, channels] of one or three channels, compressed and decompressed."""
    file = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).reshape(image.shape)
