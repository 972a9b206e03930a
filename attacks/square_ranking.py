"""Random search that sees nothing but the ids of the top items, as an attacker of a search engine does.

From two ideas: what is left of a query's own answer, weighed by its places, is a loss that needs no codes (QAIR, Li et
al., CVPR 2021; EQB2A, Zhu et al., TOIS 2023, for hashing), and squares of pixels moved by +-eps search well where each
pixel has a bound (the Square Attack, Andriushchenko et al., ECCV 2020).
"""

from collections.abc import Callable, Sequence

import torch

from hashbench.crafting.square_moves import square_search
from hashbench.models.data import Queries
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, NonNegativeInt, Share
from hashbench.registry.protocols import Craft
from hashbench.registry.ranking_box import RankingBox
from hashbench.threat import Threat
from hashbench.types import Ids, Images, Scores

NEAR = 0.5  # share of the budget that noisy copies of a query lie away from it
UNIT = 1 << 16  # of a gain


@attack(
    "square-ranking",
    threats=("linf", "l2"),
    access="ranking",
    paper="Li et al., CVPR 2021 (QAIR), and Andriushchenko et al., ECCV 2020",
    presets={"quick": {"steps": 5}},
)
def square_ranking(
    box: RankingBox, threat: Threat, *, steps: Count = 300, top: Count = 50, around: NonNegativeInt = 10,
    area: Share = 0.8,
) -> Craft:  # fmt: skip
    """Drive out of the top items those that the clean query retrieves, by changes of squares of pixels.

    The victim answers with the ids of its top items and nothing else: no codes, no distances, no labels. With the gain
    g(r) = 1 / log2(1 + r) of place r, an item's weight w is its mean gain in the answers to the clean query and to some
    noisy copies of it, and 0 in none of them; a changed image scores sum over r of g(r) w(item at place r), which is
    lowest, 0, where none of these items is left. A change is kept unless the score rises. The
    search is that of `square-hamming`.

    Args:
        steps: changes to try; each queries the victim once.
        top: how many ids an answer has.
        around: noisy copies of the query, within half of the budget, whose answers tell which other items are near.
        area: share of the image that the first squares cover; it halves nine times.
    """

    def craft(queries: Queries) -> Images:
        clean = queries.images
        copies = [clean, *(clean + NEAR * threat.noise(queries.random(stream)) for stream in range(3, 3 + around))]
        left = gain_left([box.answer(threat.project(images, clean)) for images in copies])
        return square_search(queries, threat, lambda images: left(box.answer(images)), steps=steps, area=area)

    return craft


def gain_left(own: Sequence[Ids]) -> Callable[[Ids], Scores]:
    """A function from answers [queries, top] to how much of the queries' own answers is left in them: [queries].

    Gains are rounded to whole numbers of 2**-16, so that sums are exact and the same on every device.

    >>> left = gain_left([torch.tensor([[7, 3]])])
    >>> left(torch.tensor([[7, 3]])), left(torch.tensor([[5, 4]]))
    (tensor([1.], dtype=torch.float64), tensor([0.], dtype=torch.float64))
    """
    places = torch.arange(own[0].shape[1], device=own[0].device)
    gains = (UNIT / torch.log2(2 + places.double())).round().long()
    ids, order = torch.cat(list(own), dim=1).sort(dim=1)
    sums = torch.nn.functional.pad(gains.repeat(len(own))[order].cumsum(1), (1, 0))
    whole = len(own) * (gains**2).sum()

    def left(answer: Ids) -> Scores:
        asked = answer.contiguous()
        below, up_to = (torch.searchsorted(ids, asked, right=side) for side in (False, True))
        weights = sums.gather(1, up_to) - sums.gather(1, below)
        return (weights * gains).sum(1).double() / whole

    return left
