"""Image files from anyone: the pixels of before where they were right, and one line where they can't be known."""

from __future__ import annotations

import io
import os
import resource
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from valid_files import damaged, picture, saved

from hashbench.errors import BadInput
from hashbench.readers.image_reader import ASPECT, decode, read_picture, read_with_transparency


def refusal(path: Path, content: bytes | None = None, size: int = 224) -> str:
    if content is not None:
        path.write_bytes(content)
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput) as caught:
        decode(path, size)
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 400
    assert path.name in message
    return message


def pillow(content: bytes, mode: str = "RGB") -> Image.Image:
    with Image.open(io.BytesIO(content)) as image:
        return image.convert(mode)


def published(path: Path, size: int) -> Tensor:
    """The transform as the project had it before files were checked: Pillow's RGB, resized, cut."""
    image = pillow(path.read_bytes())
    shorter = round(size * 256 / 224)
    scaled = tuple(max(shorter, int(shorter * side / min(image.size))) for side in image.size)
    image = image.resize((scaled[0], scaled[1]), Image.Resampling.BILINEAR)
    left, top = (round((side - size) / 2) for side in scaled)
    return torch.from_numpy(np.array(image.crop((left, top, left + size, top + size)))).permute(2, 0, 1)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"", depth: int = 8, colour: int = 2, before: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + before + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def tiff(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    return saved(Image.fromarray(array), "TIFF", **options)


EXIF = Image.Exif()
EXIF[0x0112] = 6  # turned by 90 degrees
EIGHT_BIT: list[tuple[str, str, dict[str, Any]]] = [
    ("RGB", "PNG", {}), ("RGBA", "PNG", {}), ("L", "PNG", {}), ("LA", "PNG", {}), ("P", "PNG", {}), ("1", "PNG", {}),
    ("P", "PNG", {"transparency": 3}), ("P", "PNG", {"bits": 4}), ("RGB", "PNG", {"transparency": (1, 2, 3)}),
    ("L", "PNG", {"transparency": 5}), ("RGB", "JPEG", {}), ("L", "JPEG", {}), ("CMYK", "JPEG", {}),
    ("RGB", "JPEG", {"progressive": True}), ("RGB", "JPEG", {"exif": EXIF}), ("RGB", "JPEG", {"subsampling": 0}),
    ("RGB", "JPEG", {"comment": b"x" * 60_000}), ("RGB", "JPEG", {"icc_profile": b"x" * 200_000}),
    ("RGB", "JPEG", {"keep_rgb": True}), ("RGB", "TIFF", {}), ("RGBA", "TIFF", {}), ("L", "TIFF", {}), ("CMYK", "TIFF",
    {}),
    ("P", "TIFF", {}), ("1", "TIFF", {}), ("RGB", "TIFF", {"compression": "tiff_deflate"}), ("RGB", "BMP", {}),
    ("P", "BMP", {}), ("L", "BMP", {}), ("P", "GIF", {}), ("P", "GIF", {"transparency": 0}), ("L", "GIF", {}),
    ("RGB", "WEBP", {}), ("RGBA", "WEBP", {"lossless": True}), ("RGB", "PPM", {}), ("L", "PPM", {}), ("1", "PPM", {}),
    ("RGB", "PNG", {"exif": EXIF}), ("RGB", "MPO", {"save_all": True, "append_images": [picture()]}),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "form", "options"), EIGHT_BIT)
def test_eight_bits_give_the_same_pixels_as_before(
    tmp_path: Path, mode: str, form: str, options: dict[str, Any]
) -> None:
    for number, size in enumerate([(40, 30), (33, 61)]):
        path = tmp_path / str(number)
        path.write_bytes(saved(picture(mode, size), form, **options))
        for side in (8, 32):
            assert torch.equal(decode(path, side), published(path, side))
        assert np.array_equal(np.array(read_picture(path)), np.array(pillow(path.read_bytes())))


def test_transparent_palettes_give_their_colours_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(saved(picture("P"), "PNG", transparency=bytes(range(50))))
    assert np.array_equal(np.array(read_picture(path)), np.array(pillow(path.read_bytes(), "RGBA"))[..., :3])


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_are_the_greys_that_they_mean(tmp_path: Path, form: str) -> None:
    grey = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    (tmp_path / "a").write_bytes(saved(Image.fromarray(grey), form))
    found = np.array(read_picture(tmp_path / "a"))
    assert found.shape == (64, 64, 3)
    assert np.abs(found[..., 0] / 255 - grey / 65535).max() < 1 / 255
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    for wide in (levels * 257, levels * 256):  # the two ways of widening 8 bits
        (tmp_path / "a").write_bytes(saved(Image.fromarray(wide), form))
        assert np.array_equal(np.array(read_picture(tmp_path / "a"))[..., 1], levels)


def test_sixteen_bits_of_grey_and_of_colour_agree(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 65536, (30, 40)).astype(">u2")
    rows = b"".join(b"\0" + np.repeat(row, 3).tobytes() for row in grey)
    (tmp_path / "colour").write_bytes(png(40, 30, rows, depth=16))
    (tmp_path / "grey").write_bytes(png(40, 30, b"".join(b"\0" + row.tobytes() for row in grey), depth=16, colour=0))
    assert torch.equal(decode(tmp_path / "colour", 16), decode(tmp_path / "grey", 16))


@pytest.mark.parametrize("most", [65535, 4095, 256])
def test_grey_pgm_files_of_more_than_eight_bits_are_the_greys_that_they_mean(tmp_path: Path, most: int) -> None:
    grey = np.random.default_rng(0).integers(0, most + 1, (64, 64)).astype(">u2")
    grey[0, :2] = 0, most
    (tmp_path / "raw").write_bytes(b"P5 64 64 %d\n" % most + grey.tobytes())
    (tmp_path / "plain").write_bytes(b"P2 64 64 %d\n" % most + b" ".join(b"%d" % value for value in grey.ravel()))
    scaled = np.array([round(value / most * 65535) for value in grey.ravel().tolist()], np.uint16).reshape(64, 64)
    (tmp_path / "png").write_bytes(saved(Image.fromarray(scaled), "PNG"))
    for name in ("raw", "plain"):
        assert np.array_equal(np.array(read_picture(tmp_path / name)), np.array(read_picture(tmp_path / "png")))
        assert read_with_transparency(tmp_path / name).getpixel((1, 0)) == (255, 255, 255, 255)


def test_sixteen_bit_tiffs_of_other_byte_order_are_read_and_of_unknown_white_refused(tmp_path: Path) -> None:
    grey = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    (tmp_path / "a").write_bytes(saved(Image.frombytes("I;16B", (32, 32), grey.astype(">u2").tobytes()), "TIFF"))
    assert np.array_equal(np.array(read_picture(tmp_path / "a"))[..., 0], grey >> 8)
    content = tiff(grey)
    at = content.index(struct.pack("<HHI", 262, 3, 1)) + 8
    assert "white" in refusal(tmp_path / "a.tiff", content[:at] + b"\0" + content[at + 1 :])  # white is zero


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_without_a_known_white_are_refused(tmp_path: Path, kind: type[Any]) -> None:
    for scale in (1, 255, 65535):
        assert "white is not known" in refusal(tmp_path / "a.tiff", tiff((np.eye(40) * scale).astype(kind)))


def test_other_colour_spaces_and_signed_values_are_refused(tmp_path: Path) -> None:
    lab = Image.frombytes("LAB", (8, 8), bytes(192))
    refusal(tmp_path / "a.tiff", saved(lab, "TIFF"))
    refusal(tmp_path / "a.pfm", b"Pf\n4 4\n-1.0\n" + bytes(64))


@pytest.mark.parametrize(
    ("width", "height"), [(20_000, 20_000), (65_000, 65_000), (2**31 - 1, 2**31 - 1), (9000, 9000)]
)
def test_pictures_of_too_many_pixels_are_refused_before_decoding(tmp_path: Path, width: int, height: int) -> None:
    assert "pixels" in refusal(tmp_path / "a.png", png(width, height))
    assert "pixels" in refusal(tmp_path / "a.ppm", f"P6 {width} {height} 255\n".encode())
    if width < 1 << 16:
        content = bytearray(saved(picture(), "JPEG"))
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", height, width)
        assert "pixels" in refusal(tmp_path / "a.jpg", bytes(content))
        content = bytearray(saved(picture("P"), "GIF"))
        content[6:10] = struct.pack("<HH", width, height)
        assert "pixels" in refusal(tmp_path / "a.gif", bytes(content))


@pytest.mark.parametrize(("width", "height"), [(1, 30_000), (30_000, 1), (1, ASPECT + 1), (10, 10 * ASPECT + 10)])
@pytest.mark.parametrize("size", [8, 32, 224])
def test_extreme_sides_are_refused_before_decoding(tmp_path: Path, width: int, height: int, size: int) -> None:
    path = tmp_path / "narrow.png"
    path.write_bytes(png(width, height, (b"\0" + bytes(3 * width)) * height))
    assert "times the other" in refusal(path, size=size)


def test_narrow_pictures_within_the_limit_are_read(tmp_path: Path) -> None:
    Image.new("RGB", (3, 3 * ASPECT), "red").save(tmp_path / "a.png")
    assert torch.equal(decode(tmp_path / "a.png", 224)[0], torch.full((224, 224), 255, dtype=torch.uint8))


def test_a_picture_that_grows_too_large_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2 * ASPECT), "red").save(tmp_path / "a.png")
    assert "when resized" in refusal(tmp_path / "a.png", size=500)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM"])
def test_truncated_files_are_refused(tmp_path: Path, form: str) -> None:
    content = saved(picture(size=(200, 150)), form)
    for share in (0.01, 0.3, 0.7):
        refusal(tmp_path / "a", content[: int(len(content) * share)])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0" * 1000, b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xd9", b"\xff\xd8" + b"\xff" * 100_000,
        b"GIF89a",
        b"II*\0\x08\0\0\0", b"II+\0\x08\0\0\0" + bytes(100), b"BM" + bytes(100), b"RIFF\0\0\0\0WEBP",
        b"P6\n-1 -1 255\n",
        b"P6\n" + b"9" * 5000 + b" 1 255\n", b"\xff\xd8\xff\xe1\xff\xff", png(0, 0), png(0, 5), png(4, 4, depth=7),
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b""), png(4, 4, b"", before=chunk(b"PLTE", bytes(5))),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    refusal(tmp_path / "a.png", content)


def test_formats_that_start_other_programs_are_not_tried(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.eps")
    assert "as an image" in refusal(tmp_path / "a.eps")


def test_scans_and_chunks_without_end_are_refused(tmp_path: Path) -> None:
    content = saved(Image.new("RGB", (2000, 2000)), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    assert "2010 scans" in refusal(tmp_path / "a.jpg", content[:-2] + last * 2000 + b"\xff\xd9")
    assert "chunks" in refusal(tmp_path / "a.png", png(4, 4, before=chunk(b"prVt", b"") * 200_000))
    refusal(tmp_path / "a.png", png(4, 4, before=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6))) * 300))
    assert "GIF" in refusal(tmp_path / "a.gif", b"GIF89a" + bytes(5 << 20))


def test_files_with_thousands_of_odd_tags_print_no_thousands_of_warnings(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = saved(picture(), "TIFF")
    start = struct.unpack("<I", content[4:8])[0]
    count = struct.unpack("<H", content[start : start + 2])[0]
    entries = content[start + 2 : start + 2 + 12 * count]
    more = b"".join(struct.pack("<HHII", 40_000 + number, 7, 1 << 30, 8) for number in range(2000))
    end = struct.pack("<H", count + 2000) + entries + more + bytes(4)
    refusal(tmp_path / "a.tiff", content[:4] + struct.pack("<I", len(content)) + content[8:] + end)
    assert capfd.readouterr() == ("", "")


def test_damaged_tiffs_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)
    content, path, refused = saved(Image.fromarray(pixels), "TIFF", compression="tiff_lzw"), tmp_path / "a.tiff", 0
    for seed in range(40):  # libtiff itself would print about some of them
        path.write_bytes(damaged(content, np.random.default_rng(seed)))
        try:
            read_picture(path)
        except BadInput:
            refused += 1
    assert refused
    assert capfd.readouterr() == ("", "")


def test_exif_of_any_size_is_not_looked_at(tmp_path: Path) -> None:
    plain = saved(picture(), "JPEG")
    odd = b"\xff\xe1\xff\xff" + b"Exif\0\0II*\0\x08\0\0\0\xff\xff".ljust(65_533, b"\1")
    (tmp_path / "a.jpg").write_bytes(plain[:2] + odd * 100 + plain[2:])
    assert np.array_equal(np.array(read_picture(tmp_path / "a.jpg")), np.array(pillow(plain)))


def test_sizes_of_files_are_limited_and_pipes_do_not_wait(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved(picture(), "PNG"))
    with pytest.raises(BadInput, match="larger than"):
        read_picture(tmp_path / "a.png", limit=100)
    os.mkfifo(tmp_path / "pipe.png")
    assert "pipe" in refusal(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    assert decode(tmp_path / "link.png", 16).shape == (3, 16, 16)
    with pytest.raises(BadInput, match="link"):
        decode(tmp_path / "link.png", 16, inside=tmp_path)
    assert "not there" in refusal(tmp_path / "gone.png")


def test_a_png_of_too_many_chunks_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    content = saved(picture(), "PNG")
    empty = struct.pack(">I", 0) + b"teSt" + struct.pack(">I", zlib.crc32(b"teSt"))
    place = 8 + 12 + 13  # after the signature and the header
    assert "100,000 chunks" in refusal(tmp_path / "a.png", content[:place] + 100_001 * empty + content[place:])
