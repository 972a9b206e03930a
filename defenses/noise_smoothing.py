"""Codes averaged over Gaussian noise: randomised smoothing (Cohen et al., ICML 2019)."""

import torch

from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.models.transformed import Transformed
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import Count, NonNegative
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.types import Images


@defense("noise-smoothing", trains=False, transforms=True, paper="Cohen et al., ICML 2019")
def noise_smoothing(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    sigma: NonNegative = 0.1,
    draws: Count = 8,
) -> HashModel:
    """Average an image's logits over draws of Gaussian noise, new ones each time it is encoded.

    Noisy pixels may leave [0, 1]. Attacks differentiate through the average, so that a gradient is that of the mean
    over `draws` draws; the noise that an attack saw is not the noise that its images are judged on.

    Args:
        sigma: standard deviation of the noise, in pixels of [0, 1].
        draws: how many noisy versions of an image go through the network. Fewer draws make gradients noisy and the
            adaptive attack weaker, which is not robustness.
    """

    def noisy(images: Images) -> Images:
        versions = images.repeat(draws, 1, 1, 1)
        return versions + sigma * torch.randn(versions.shape).to(versions)

    return HashModel(Transformed(noisy, model.network), model.bits)
