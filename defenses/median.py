"""Local smoothing: feature squeezing by a median filter (Xu et al., NDSS 2018)."""

from torch.nn.functional import pad

from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.models.transformed import Transformed
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import Count
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.types import Images


@defense("median", trains=False, transforms=True, paper="Xu et al., NDSS 2018")
def median(model: HashModel, train: ImageSet, method: Method, threat: Threat, *, radius: Count = 1) -> HashModel:
    """Replace each pixel by the median of its neighbourhood before the image is encoded.

    Channels are filtered one by one; beyond its edges an image is continued by reflection.

    Args:
        radius: in pixels; the neighbourhood is a square with sides of 2 * radius + 1.
    """
    width = 2 * radius + 1

    def smoothed(images: Images) -> Images:
        wide = pad(images, [radius] * 4, mode="reflect")
        neighbours = wide.unfold(2, width, 1).unfold(3, width, 1).flatten(4)
        ordered, _ = neighbours.sort(dim=-1, stable=True)  # torch.median differs from run to run on a GPU
        return ordered[..., width**2 // 2]

    return HashModel(Transformed(smoothed, model.network), model.bits)
