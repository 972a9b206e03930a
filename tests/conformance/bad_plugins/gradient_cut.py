"""Round pixels to a few grey levels, through which no gradient flows."""

import copy

from torch import nn

from hashbench import HashModel, ImageSet, Method, Threat, defense
from hashbench.types import Images


@defense("bad-gradient-cut", trains=False)
def gradient_cut(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
    """Round pixels to a few grey levels, through which no gradient flows."""
    return HashModel(nn.Sequential(Round(), copy.deepcopy(model.network)), model.bits).eval()


class Round(nn.Module):
    """Eight grey levels."""

    def forward(self, images: Images) -> Images:
        """Images of the same shape."""
        return (images * 7).round() / 7
