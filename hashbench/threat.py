"""The threat model that all attacks of one leaderboard share."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hashbench.errors import BadParameter, ThreatViolation
from hashbench.types import Images

TOLERANCE = 1e-6  # float32 rounding of clean + delta, in pixel units


def format_eps(eps: float) -> str:
    """A budget as people write it: as 8/255 where it is a whole number of grey levels.

    >>> format_eps(8 / 255), format_eps(0.03)
    ('8/255', '0.03')
    """
    levels = round(eps * 255)
    return f"{levels}/255" if levels and abs(eps * 255 - levels) < 1e-9 else f"{eps:g}"


@dataclass(frozen=True)
class Threat:
    """An l-inf ball of radius `eps` around each clean image, in [0, 1] pixel units.

    Raises:
        BadParameter: eps is outside [0, 1].

    >>> threat = Threat(eps=8 / 255)
    >>> clean = torch.full((1, 1, 2, 2), 0.5)
    >>> crafted = threat.project(clean + 0.25, clean)
    >>> threat.check(crafted, clean)
    >>> round(float((crafted - clean).max()) * 255, 3)
    8.0
    """

    eps: float = 8 / 255

    def __post_init__(self) -> None:
        if not 0 <= self.eps <= 1:
            raise BadParameter(
                f"eps={self.eps:g} is outside [0, 1]; it is in pixel units of [0, 1], write 8/255, not 8"
            )

    @property
    def norm(self) -> str:
        """The norm that bounds the perturbation."""
        return "linf"

    def project(self, images: Images, clean: Images) -> Images:
        """The nearest images that lie in the ball around `clean` and in [0, 1]."""
        return torch.clamp(images.clamp(clean - self.eps, clean + self.eps), 0, 1)

    def check(self, images: Images, clean: Images) -> None:
        """Refuse images that leave the ball or [0, 1] by more than 1e-6.

        Raises:
            ThreatViolation: an image leaves them; the message gives the largest excess.
        """
        moved = (images - clean).abs().max().item()
        if moved > self.eps + TOLERANCE:
            raise ThreatViolation(
                f"a pixel moved by {moved * 255:.4g}/255, the budget is {self.eps * 255:.4g}/255; "
                "end the attack with threat.project(images, clean)"
            )
        low, high = images.min().item(), images.max().item()
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            raise ThreatViolation(f"pixels span [{low:.4g}, {high:.4g}] and leave [0, 1]; clamp them")
