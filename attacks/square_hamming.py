"""Random search that sees binary codes only: the Square Attack (Andriushchenko et al., ECCV 2020)."""

import torch
from torch import Tensor

from hashbench.models.codes import center_code, encode
from hashbench.models.data import Queries, Victim
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images, Scores

# Shares of the steps after which the area of the squares is halved.
HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


@attack(
    "square-hamming",
    access="decision",
    paper="Andriushchenko et al., ECCV 2020, on binary codes",
    presets={"paper": {"steps": 5000}, "quick": {"steps": 5}},
)
def square_hamming(victim: Victim, threat: Threat, *, steps: Count = 300, area: Share = 0.8) -> Craft:
    """Change squares of pixels by +-eps and keep what brings the binary code no nearer to its center code.

    The victim answers with binary codes only: those of the training images give the center code of each query, and
    those of changed queries are compared with it. Starts from vertical stripes. A change that leaves the distance
    unchanged is kept too, since a distance in bits has plateaus.

    Args:
        steps: changes to try; each queries the victim once.
        area: share of the image that the first squares cover; it halves nine times.
    """
    memory = encode(victim.model, victim.train)

    def craft(queries: Queries) -> Images:
        center = center_code(memory, victim.train.labels, queries.labels)
        clean = queries.images
        channels, height, width = clean.shape[1:]

        def agreement(images: Images) -> Scores:
            return (victim.model(images) * center).sum(1)

        stripes = _signs(queries.draw((channels, 1, width), stream=1))
        images = threat.project(clean + threat.eps * stripes, clean)
        scores = agreement(images)
        numbers = queries.draw((steps, 2 + channels), stream=2)
        for step in range(steps):
            side = square_side(step / steps, area, height, width)
            tried = with_squares(images, clean, threat, numbers[:, step], side)
            tried_scores = agreement(tried)
            wins = tried_scores <= scores
            images = torch.where(wins[:, None, None, None], tried, images)
            scores = torch.where(wins, tried_scores, scores)
        return images

    return craft


def square_side(progress: float, area: float, height: int, width: int) -> int:
    """The side of the squares in pixels, after a share of the steps."""
    share = area / 2 ** sum(progress > point for point in HALVINGS)
    side: float = (share * height * width) ** 0.5
    return min(max(round(side), 1), height, width)


def with_squares(images: Images, clean: Images, threat: Threat, numbers: Tensor, side: int) -> Images:
    """Images with one square each that is moved by +-eps from the clean image, another sign for each channel.

    Args:
        numbers: [images, 2 + channels] in [0, 1): the square's place, and its signs.
        side: of the squares, in pixels.
    """
    square = _squares(numbers[:, :2], side, *clean.shape[2:])
    signs = _signs(numbers[:, 2:])[:, :, None, None]
    return torch.where(square, threat.project(clean + threat.eps * signs, clean), images)


def _squares(numbers: Tensor, side: int, height: int, width: int) -> Tensor:
    """Masks [queries, 1, height, width] of one square each, at places given by numbers in [0, 1)."""
    top = (numbers[:, 0] * (height - side + 1)).long()[:, None]
    left = (numbers[:, 1] * (width - side + 1)).long()[:, None]
    rows, columns = torch.arange(height, device=top.device), torch.arange(width, device=top.device)
    in_rows, in_columns = (rows >= top) & (rows < top + side), (columns >= left) & (columns < left + side)
    return (in_rows[:, :, None] & in_columns[:, None, :])[:, None]


def _signs(numbers: Tensor) -> Tensor:
    """Numbers in [0, 1) as -1 or +1."""
    return torch.where(numbers < 0.5, -1.0, 1.0)
