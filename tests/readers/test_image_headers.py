"""JPEG files that go on behind their end, and ones that hide scans."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from valid_files import picture, saved

from hashbench.errors import BadInput
from hashbench.readers import image_headers
from hashbench.readers.image_headers import SCANS, lean
from hashbench.readers.image_reader import read_picture

END = b"\xff\xd9"


def progressive() -> tuple[bytes, bytes]:
    """A JPEG file without its end, and its last scan."""
    content = saved(Image.new("RGB", (400, 400)), "JPEG", progressive=True)
    return content[: -len(END)], content[content.rindex(b"\xff\xda") : -len(END)]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_what_follows_the_end_of_a_jpeg_file_is_no_part_of_it(tmp_path: Path, options: dict[str, object]) -> None:
    """A phone's video behind a photo, or a file system's rest."""
    plain = saved(picture(size=(80, 60)), "JPEG", **options)
    behind = np.random.default_rng(0).bytes(1 << 16) + b"\xff\xda\0\x08" * (2 * SCANS)
    assert lean(plain + behind, "a.jpg") == lean(plain, "a.jpg") == plain
    (tmp_path / "plain.jpg").write_bytes(plain)
    (tmp_path / "a.jpg").write_bytes(plain + behind)
    found, wanted = (np.array(read_picture(tmp_path / name)) for name in ("a.jpg", "plain.jpg"))
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    "hiding",
    [
        b"\xff\xfe\0\x04" + END,  # an end in a comment is none
        b"\xff\xe0\0\x06" + END + END,  # nor is it in a part of a program
        b"\xff\x02\xff\xff",  # a marker that decoders skip without the length that it claims
        b"\xff\xd0\xff\xff", b"\xff\xff\xff", b"\xff\0\xd9", b"\xff\xfe\0\0",
    ],
)  # fmt: skip
def test_scans_can_not_be_hidden(hiding: bytes) -> None:
    first, last = progressive()
    with pytest.raises(BadInput, match=rf"a\.jpg is a JPEG file of {10 + 2 * SCANS} scans; {SCANS} is the most"):
        lean(first + hiding + last * (2 * SCANS) + END, "a.jpg")


def test_a_jpeg_file_of_markers_without_end_is_refused_at_once() -> None:
    first, _ = progressive()
    began = time.process_time()
    with pytest.raises(BadInput, match=r"a\.jpg is a JPEG file of more than 100,000 markers; save it again"):
        lean(first + b"\xff\xfe\0\x02" * (image_headers.CHUNKS + 1) + END, "a.jpg")
    assert time.process_time() - began < 2
    cut = first[:-40]  # a file without an end is handed on as it is
    assert lean(cut, "a.jpg") == cut
