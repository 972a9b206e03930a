"""Image files from anyone: every bit depth is read as what it means or refused, and sizes are judged before decoding.

Taken are BMP, GIF, JPEG, PNG, PPM, TIFF and WebP (the first picture of several), with 1, 8 or 16 bits a channel.
Of 16 bits the higher 8 are kept: 65535 is 255 and 257 * v is v, as Pillow itself has it for colour. Pictures of
whole numbers of 32 bits and of floating-point numbers are refused, since no such file says which value is white.
As ever, transparency is dropped, colour profiles are not applied, and EXIF orientation is ignored.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError, _imaging
from torch import Tensor

from hashbench.errors import BadInput
from hashbench.readers.folders import MEGABYTE, read_bytes, shown_path
from hashbench.readers.image_headers import lean
from hashbench.readers.text import printable

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # others, such as EPS, start other programs
LARGEST = 128 * MEGABYTE  # bytes of a file
PIXELS = 50_000_000  # of a picture, before and after resizing
ASPECT = 256  # times that the longer side may be the shorter one
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})  # 8 bits a channel or fewer
GREY_16 = frozenset({"I;16", "I;16B", "I;16L"})
_DEPTHS, _PHOTOMETRIC, _BLACK_IS_ZERO = 258, 262, 1  # tags of TIFF
# What Pillow raises for files that are damaged or meant to do harm.
_UNREADABLE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError, RuntimeError,
    struct.error, zlib.error, Image.DecompressionBombError, Warning,
)  # fmt: skip
# Warnings of Pillow that a file can call forth, thousands of lines of them, refuse it. Set once: threads decode.
warnings.simplefilter("error", Image.DecompressionBombWarning)
warnings.filterwarnings("error", category=UserWarning, module=r"PIL\.(Tiff|Jpeg|Png|Gif|WebP)ImagePlugin")
# What is wrong with a file is said by the exception, so that Pillow need not log it, nor libtiff print it.
logging.getLogger("PIL").addHandler(logging.NullHandler())
for _name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
    with contextlib.suppress(OSError, AttributeError):  # a Pillow without libtiff, or with it inside
        ctypes.CDLL(_imaging.__file__)[_name](None)


def decode(path: Path, size: int, *, inside: Path | None = None) -> Tensor:
    """An image file as bytes [3, size, size].

    As published, the shorter side is resized to size * 256 / 224 (bilinear), then the center is cut out.

    Args:
        inside: the foreign folder that the file belongs to, as of `open_regular`.

    Raises:
        BadInput: as of `read_picture`, or the resized picture would have more than PIXELS.
    """
    picture = read_picture(path, inside=inside)
    width, height = picture.size
    shorter = round(size * 256 / 224)
    scaled = tuple(max(shorter, int(shorter * side / min(width, height))) for side in (width, height))
    if scaled[0] * scaled[1] > PIXELS:
        raise BadInput(
            f"{shown_path(path)} of {width} x {height} pixels would be {scaled[0]} x {scaled[1]} when resized; "
            "crop it first"
        )
    picture = picture.resize((scaled[0], scaled[1]), Image.Resampling.BILINEAR)
    left, top = (round((side - size) / 2) for side in scaled)
    picture = picture.crop((left, top, left + size, top + size))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def read_picture(path: Path, *, limit: int = LARGEST, inside: Path | None = None) -> Image.Image:
    """An image file as a picture in RGB of 8 bits a channel.

    Args:
        limit: bytes of the file.
        inside: the foreign folder that the file belongs to, as of `open_regular`.

    Raises:
        BadInput: the file can't be read, is larger than `limit`, is of no format of FORMATS, damaged or truncated,
            or has parts that take long to walk through (see `lean`); the picture has more than PIXELS, sides that
            differ by more than ASPECT, or values without a known white.
    """
    return _read(path, limit, inside, _colour)


def read_with_transparency(path: Path, *, limit: int = LARGEST, inside: Path | None = None) -> Image.Image:
    """An image file as a picture in RGBA of 8 bits a channel; one without transparency is opaque.

    Raises:
        BadInput: as of `read_picture`.
    """
    return _read(path, limit, inside, _colour_and_opacity)


def _read(path: Path, limit: int, inside: Path | None, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    name = shown_path(path)
    content = lean(read_bytes(path, limit, inside), name)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_sides(image.size, name)
            _check_values(image, name)
            return convert(image)
    except UnidentifiedImageError:
        raise BadInput(f"{name} can't be decoded as an image; give {', '.join(FORMATS)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadInput(f"{name} claims more than {PIXELS:,} pixels; scale it down first") from None
    except _UNREADABLE as error:
        why = printable(str(error), 60) or type(error).__name__
        raise BadInput(f"{name} can't be decoded as an image ({why}); fetch it again") from None


def _check_sides(sides: tuple[int, int], name: str) -> None:
    shorter, longer = sorted(sides)
    said = f"{name} has {sides[0]} x {sides[1]} pixels"
    if shorter < 1 or shorter * longer > PIXELS:
        raise BadInput(f"{said}; {PIXELS:,} is the most that is decoded, scale it down first")
    if longer > ASPECT * shorter:
        raise BadInput(f"{said}, one side more than {ASPECT} times the other; crop it first")


def _check_values(image: Image.Image, name: str) -> None:
    """Refuse pictures whose values mean nothing that is known."""
    if image.mode not in MODES and not _is_deep(image):
        raise BadInput(f"{name} holds values of the kind {image.mode!r}, whose white is not known; save 8 or 16 bits")
    if image.mode in MODES or image.format in ("PNG", "PPM"):
        return
    tags = dict(getattr(image, "tag_v2", {}))
    if tags.get(_DEPTHS) != (16,) or tags.get(_PHOTOMETRIC) != _BLACK_IS_ZERO:
        raise BadInput(f"{name} holds grey values of which white is not known; save it as PNG, with 8 or 16 bits")


def _is_deep(image: Image.Image) -> bool:
    """Whether it is grey of 16 bits; Pillow has grey PPM files of more than 8 bits as numbers up to 65535."""
    return image.mode in GREY_16 or (image.mode == "I" and image.format == "PPM")


def _colour(image: Image.Image) -> Image.Image:
    if _is_deep(image):
        grey = np.asarray(image).astype(np.uint16)  # in the machine's order of bytes
        return Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB")
    image.load()
    image.info.pop("transparency", None)  # it changes no colour, and Pillow warns of some
    return image.convert("RGB")


def _colour_and_opacity(image: Image.Image) -> Image.Image:
    if _is_deep(image):
        return _colour(image).convert("RGBA")
    image.load()
    return image.convert("RGBA")
