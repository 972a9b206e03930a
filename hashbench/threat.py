"""The threat model that all attacks of one leaderboard share."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hashbench.errors import BadParameter, ThreatViolation
from hashbench.readers.toml_files import WIDEST
from hashbench.types import Images, Scores

TOLERANCE = 1e-6  # float32 rounding of clean + delta, in pixel units; above a radius of 1, as a share of the radius
ULP = 2.0**-24  # twice the largest rounding of a 32-bit pixel in [0, 1], and the largest share of a difference of two
MOST_VALUES = 1 << 22  # of an image whose size is not known: 3 x 1182 x 1182
HALF = 0.5  # the default l2 radius is this share of what a change of every value by the l-inf eps amounts to

KINDS = ("linf", "l2", "patch")
PATCH = re.compile(r"patch-([1-9][0-9]{0,3})")  # a patch's norm as text, with the side of its square in pixels


def format_eps(eps: float, norm: str = "linf") -> str:
    """A budget as people write it: an l-inf one as 8/255 where it is a whole number of grey levels.

    >>> format_eps(8 / 255), format_eps(0.03), format_eps(1.0, "l2")
    ('8/255', '0.03', '1')
    """
    levels = round(eps * 255)
    return f"{levels}/255" if norm != "l2" and levels and abs(eps * 255 - levels) < 1e-9 else f"{eps:g}"


def format_threat(norm: str, eps: float) -> str:
    """A threat as people write it.

    >>> format_threat("linf", 8 / 255), format_threat("l2", 0.5)
    ('l-inf eps 8/255', 'l2 eps 0.5')
    >>> format_threat("patch-4", 1.0), format_threat("patch-4", 0.5)
    ('a patch of 4 x 4 pixels', 'a patch of 4 x 4 pixels, eps 0.5')
    """
    if found := PATCH.fullmatch(norm):
        words = f"a patch of {found[1]} x {found[1]} pixels"
        return words if eps == 1 else f"{words}, eps {format_eps(eps, norm)}"
    return f"{'l-inf' if norm == 'linf' else norm} eps {format_eps(eps, norm)}"


def kind_of(norm: str) -> str:
    """Which of KINDS a norm is; any other text is itself.

    >>> kind_of("l2"), kind_of("patch-4")
    ('l2', 'patch')
    """
    return "patch" if PATCH.fullmatch(norm) else norm


def l2_radius(eps: float, values: int) -> float:
    """The default l2 radius for images of so many values whose default l-inf budget is eps.

    It is half of the l2 norm of a change of every value by eps, to two significant digits.

    >>> l2_radius(32 / 255, 64), l2_radius(8 / 255, 3 * 32 * 32), l2_radius(8 / 255, 3 * 224 * 224)
    (0.5, 0.87, 6.1)
    """
    return float(f"{HALF * eps * math.sqrt(values):.2g}")


def default_eps(norm: str, own: float, values: int) -> float:
    """The budget of a norm where none is given, for images of so many values whose own l-inf budget is `own`.

    The square of a patch may be any other one.

    >>> default_eps("linf", 0.1, 64), default_eps("l2", 0.1, 64), default_eps("patch-3", 0.1, 64)
    (0.1, 0.4, 1.0)
    """
    return {"linf": own, "l2": l2_radius(own, values)}.get(norm, 1.0)


@dataclass(frozen=True)
class Threat:
    """A ball of radius `eps` around each clean image, cut to [0, 1], in pixel units of [0, 1].

    Args:
        eps: the radius.
        norm: linf bounds what each pixel moves by, l2 the root of the sum of the squares over all pixels and channels,
            patch-SIDE what each pixel of one square of SIDE pixels, anywhere in the image, moves by, while all other
            pixels stay as they are. An eps of 1 lets the square be any other one.

    Raises:
        BadParameter: eps is outside [0, 1] or no l2 radius, or there is no such norm.

    >>> threat = Threat(eps=8 / 255)
    >>> clean = torch.full((1, 1, 2, 2), 0.5)
    >>> crafted = threat.project(clean + 0.25, clean)
    >>> threat.check(crafted, clean)
    >>> round(float((crafted - clean).max()) * 255, 3)
    8.0
    >>> round(float((Threat(0.1, "l2").project(clean + 0.25, clean) - clean).norm()), 6)
    0.1
    >>> round(float((Threat(1.0, "patch-1").project(clean + 0.25, clean) - clean).sum()), 6)
    0.25
    """

    eps: float = 8 / 255
    norm: str = "linf"

    def __post_init__(self) -> None:
        object.__setattr__(self, "eps", float(self.eps))  # keys tell 1 from 1.0
        if self.kind not in KINDS or self.norm == "patch":
            raise BadParameter(f"norm={self.norm!r} is not known; take linf, l2 or patch-SIDE, such as patch-4")
        if self.norm != "l2" and not 0 <= self.eps <= 1:
            raise BadParameter(
                f"eps={self.eps:g} is outside [0, 1]; it is in pixel units of [0, 1], write 8/255, not 8"
            )
        if self.norm == "l2" and not 0 <= self.eps <= WIDEST:
            raise BadParameter(f"eps={self.eps:g} is no l2 radius; give one of 0 or more in pixel units of [0, 1]: 0.5")

    @property
    def kind(self) -> str:
        """Which of KINDS it is."""
        return kind_of(self.norm)

    @property
    def side(self) -> int:
        """The side of a patch's square in pixels; 0 for a norm."""
        found = PATCH.fullmatch(self.norm)
        return int(found[1]) if found else 0

    @property
    def settings(self) -> dict[str, Any]:
        """What a key has to hold of it: eps, and the norm unless it is linf."""
        return {"eps": self.eps} if self.norm == "linf" else {"eps": self.eps, "norm": self.norm}

    def project(self, images: Images, clean: Images) -> Images:
        """The nearest images that lie in the ball around `clean` and in [0, 1]."""
        if self.norm == "l2":
            return _nearest_in_l2(images, clean, self.eps)
        nearest = torch.clamp(images.clamp(clean - self.eps, clean + self.eps), 0, 1)
        return _best_square(images, nearest, clean, self.side) if self.side else nearest

    def shrink(self, change: Images) -> Images:
        """The nearest changes [images, channels, height, width] that lie in the ball, whatever the clean images."""
        if self.norm == "l2":
            return change * (self.eps / _lengths(change).clamp(min=_tiny(change))).clamp(max=1).to(change)
        return change.clamp(-self.eps, self.eps)

    def steepest(self, gradient: Images) -> Images:
        """The change of size 1 along which a linear function with this gradient rises most; 0 where that is 0."""
        if self.norm == "l2":
            scaled = gradient / gradient.abs().amax((1, 2, 3), keepdim=True).clamp(min=_tiny(gradient))
            lengths: Tensor = scaled.flatten(1).norm(dim=1)[:, None, None, None]
            return scaled / lengths.clamp(min=_tiny(gradient))
        return gradient.sign()

    def noise(self, uniform: Images) -> Images:
        """Random changes within the ball: uniform in it for linf, uniform on its surface for l2.

        Args:
            uniform: random numbers in [-1, 1) of the images' shape.
        """
        if self.norm == "l2":
            return self.eps * self.steepest(torch.erfinv(uniform.clamp(-1 + 1e-6, 1 - 1e-6)))
        return self.eps * uniform

    def even(self, like: Images) -> float:
        """The size of the change of all pixels and channels alike that uses the budget up."""
        return self.eps / math.sqrt(like[0].numel()) if self.norm == "l2" else self.eps

    def distance(self, images: Images, clean: Images) -> Scores:
        """How far each image lies from its clean one, [images]."""
        if self.norm == "l2":
            return _lengths(images - clean).flatten()
        return (images - clean).flatten(1).abs().amax(1)

    def check(self, images: Images, clean: Images) -> None:
        """Refuse images that leave the ball or [0, 1] by more than rounding: 1e-6, or in l2 what `excess` allows.

        Raises:
            ThreatViolation: an image leaves them, or holds NaN; the message gives the largest excess.
        """
        if not images.numel():
            return
        moved = self.distance(images, clean).max().item()
        if math.isnan(moved):
            raise ThreatViolation("pixels are NaN; look for a division by 0")
        sides = square_sides(images, clean).max().item() if self.side else 0.0
        if problem := self.excess(moved, clean[0].numel()) or self.spread(sides):
            raise ThreatViolation(f"{problem}; end the attack with threat.project(images, clean)")
        low, high = images.min().item(), images.max().item()
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            raise ThreatViolation(f"pixels span [{low:.4g}, {high:.4g}] and leave [0, 1]; clamp them")

    def spread(self, side: float) -> str:
        """What is wrong with the side of the square that holds a change; empty if the threat allows it."""
        if not self.side or side <= self.side:
            return ""
        return f"a change spans {side:g} pixels, the patch has {self.side} x {self.side}"

    def excess(self, moved: float, values: int = MOST_VALUES) -> str:
        """What is wrong with a distance from a clean image; empty if it is within the budget and rounding.

        An l2 projection rounds each of the image's values by up to 2^-25, and their difference from the clean ones by
        up to 2^-24 of itself, always upwards where the image is flat.

        Args:
            moved: the distance, in pixel units of [0, 1].
            values: of the image, pixels times channels.
        """
        rounding = TOLERANCE * max(1.0, self.eps)
        if self.norm == "l2":
            rounding = max(rounding, ULP * (math.sqrt(values) / 2 + self.eps))
        if moved <= self.eps + rounding:
            return ""
        if self.norm == "l2":
            return f"an image moved by {moved:.6g} in l2, the budget is {self.eps:.6g}"
        return f"a pixel moved by {moved * 255:.4g}/255, the budget is {self.eps * 255:.4g}/255"


def square_sides(images: Images, clean: Images) -> Scores:
    """The side of the smallest square that holds all pixels of an image that moved by more than 1e-6, [images]."""
    moved = ((images - clean).abs() > TOLERANCE).any(1)
    sides = []
    for axis in (1, 2):
        lines = moved.any(axis)
        places = torch.arange(lines.shape[1], device=lines.device)
        last, first = torch.where(lines, places, -1).amax(1), torch.where(lines, places, lines.shape[1]).amin(1)
        sides.append((last - first + 1).clamp(min=0))
    return torch.maximum(*sides).double()


def _best_square(images: Images, nearest: Images, clean: Images, side: int) -> Images:
    """The clean images with the one square of the nearest ones that brings them nearest to the given images."""
    height, width = clean.shape[2:]
    high, wide = min(side, height), min(side, width)
    saved = ((images - clean).double().square() - (images - nearest).double().square()).sum(1, keepdim=True)
    sums = torch.nn.functional.avg_pool2d(saved, (high, wide), stride=1)
    best = sums.flatten(1).argmax(1)[:, None]
    top, left = best // sums.shape[3], best % sums.shape[3]
    rows, columns = torch.arange(height, device=best.device) - top, torch.arange(width, device=best.device) - left
    inside = ((rows >= 0) & (rows < high))[:, :, None] & ((columns >= 0) & (columns < wide))[:, None]
    return torch.where(inside[:, None], nearest, clean)


def _nearest_in_l2(images: Images, clean: Images, eps: float) -> Images:
    """The nearest images in the l2 ball and in [0, 1], for each image by itself.

    Such an image is clean + min(s |d|, room) in the direction of the change d, where the room of a pixel ends at 0 or
    1, and s <= 1 is the largest with a norm of at most eps. The squared norm is piecewise quadratic in s with a kink
    where a pixel's room ends, so that s follows from the sorted kinks.
    """
    base = clean.double().flatten(1)
    change = images.double().flatten(1) - base
    size, room = change.abs(), torch.where(change >= 0, 1 - base, base).clamp(min=0)
    kinks, order = (room / size.clamp(min=_tiny(size))).clamp(max=2).sort(dim=1)
    full, free = room.gather(1, order).square().cumsum(1), size.gather(1, order).square()
    left = (free.sum(1, keepdim=True) - free.cumsum(1)).clamp(min=0)
    ended = ((full + kinks.square() * left) <= eps**2).sum(1, keepdim=True)  # pixels at the end of their room
    spent = torch.nn.functional.pad(full, (1, 0)).gather(1, ended)
    slope = torch.nn.functional.pad(left, (1, 0), value=0.0)
    slope[:, :1] = free.sum(1, keepdim=True)
    scale = ((eps**2 - spent) / slope.gather(1, ended).clamp(min=_tiny(size))).clamp(0, 1).sqrt()
    inside = torch.minimum(size, room).square().sum(1, keepdim=True) <= eps**2
    moved = torch.minimum(torch.where(inside, 1.0, scale) * size, room) * change.sign()
    return (base + moved).reshape(images.shape).to(images.dtype)


def _lengths(change: Images) -> Tensor:
    """The l2 norm of each image's change, in double precision, [images, 1, 1, 1]."""
    lengths: Tensor = change.double().flatten(1).norm(dim=1)[:, None, None, None]
    return lengths


def _tiny(like: Tensor) -> float:
    return torch.finfo(like.dtype).tiny


class UntoldThreat:
    """Stands for the threat where it must not matter: the models of a defense that trains nothing serve every budget.

    Raises:
        BadParameter: anything of it is read.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by copy and others, not by the defense
            raise AttributeError(name)
        raise BadParameter(
            f"threat.{name} is not told to a defense with trains=False, whose models serve every budget; "
            "take the budget as a parameter, which its label then shows"
        )
