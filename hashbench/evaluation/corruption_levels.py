"""What the five strengths of each corruption stand for; read without torch.

After Hendrycks & Dietterich (ICLR 2019), whose strengths are for photographs of 224 pixels. Lengths here are shares of
the image's side, so that a strength means the same at every size.
"""

from __future__ import annotations

from dataclasses import dataclass

PAPER = "after Hendrycks & Dietterich, ICLR 2019"
STRENGTHS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class CorruptionLevels:
    """A corruption for people.

    Attributes:
        summary: what it does.
        unit: what a level is.
        levels: one for each strength.
    """

    summary: str
    unit: str
    levels: tuple[float, ...]


LEVELS = {
    "noise": CorruptionLevels(
        "Gaussian noise in each pixel and channel.", "standard deviation, in pixel units of [0, 1]",
        (0.04, 0.08, 0.12, 0.18, 0.26),
    ),
    "blur": CorruptionLevels(
        "A Gaussian blur.", "standard deviation, as a share of the side", (0.01, 0.02, 0.03, 0.045, 0.06)
    ),
    "jpeg": CorruptionLevels("JPEG compression by Pillow.", "quality", (75, 50, 25, 15, 8)),
    "brightness": CorruptionLevels("A constant added to all pixels.", "the constant", (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": CorruptionLevels(
        "Pixels drawn towards the image's mean.", "share of the distance that is kept", (0.7, 0.5, 0.35, 0.2, 0.1)
    ),
    "pixelate": CorruptionLevels(
        "Fewer and larger pixels.", "pixels a side, as a share of them", (0.75, 0.6, 0.5, 0.4, 0.3)
    ),
    "crop": CorruptionLevels(
        "A part at a random place, enlarged to the image's size.", "side of the part, as a share",
        (0.95, 0.9, 0.85, 0.8, 0.7),
    ),
    "rotation": CorruptionLevels("A turn to the left or to the right, at random.", "degrees", (5, 10, 15, 20, 30)),
}  # fmt: skip
