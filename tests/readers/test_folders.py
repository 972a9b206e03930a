"""Files of a foreign folder: regular ones inside it, or one line."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from hashbench.errors import BadInput
from hashbench.readers.folders import list_files, open_regular, read_bytes, read_text, sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("of the user")
    inside = tmp_path / "inside"
    (inside / "queries").mkdir(parents=True)
    (inside / "run.json").write_text("{}")
    (inside / "queries" / "a.npz").write_bytes(b"abc")
    return inside


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as caught:
        call()
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600
    return message


def test_a_plain_file_is_read(folder: Path) -> None:
    assert read_bytes(folder / "queries" / "a.npz", 3, folder) == b"abc"
    assert read_bytes(folder / "run.json", 10) == b"{}"
    assert read_text(folder / "run.json", 10, folder) == "{}"
    assert sha256(folder / "run.json", 10, folder) == hashlib.sha256(b"{}").hexdigest()
    with open_regular(folder / "run.json", folder) as file:
        assert file.read() == b"{}"


def test_an_empty_file_is_read(folder: Path) -> None:
    (folder / "empty").touch()
    assert read_bytes(folder / "empty", 0, folder) == b""


@pytest.mark.parametrize("inside", [True, False])
def test_a_larger_file_is_refused(folder: Path, inside: bool) -> None:
    assert "larger than 2 bytes" in refusal(
        lambda: read_bytes(folder / "queries" / "a.npz", 2, folder if inside else None)
    )


def test_a_sparse_file_of_a_terabyte_is_refused_at_once(folder: Path) -> None:
    with (folder / "run.json").open("wb") as file:
        file.truncate(1 << 40)
    assert "larger than 1 MB" in refusal(lambda: read_bytes(folder / "run.json", 1 << 20, folder))
    assert "larger than 1 MB" in refusal(lambda: sha256(folder / "run.json", 1 << 20, folder))


def test_bytes_are_counted_as_they_are_read_not_as_stat_says() -> None:
    path = Path("/proc/self/maps")  # of size 0 by stat
    if not path.exists():
        pytest.skip("this system has no such file")
    assert path.stat().st_size == 0
    assert "larger than 100 bytes" in refusal(lambda: read_bytes(path, 100))


@pytest.mark.parametrize("target", ["/dev/zero", "../secret.txt", "run.json", "/nowhere", "queries"])
def test_no_link_is_followed_inside_a_foreign_folder(folder: Path, target: str) -> None:
    (folder / "link").symlink_to(target)
    assert "is a link" in refusal(lambda: read_bytes(folder / "link", 100, folder))


def test_no_linked_folder_is_followed(folder: Path) -> None:
    (folder / "outside").symlink_to(folder.parent)
    assert "behind a link" in refusal(lambda: read_bytes(folder / "outside" / "secret.txt", 100, folder))


def test_a_link_of_the_users_own_is_followed_but_not_to_a_device(folder: Path) -> None:
    (folder / "own").symlink_to("run.json")
    assert read_bytes(folder / "own", 100) == b"{}"
    (folder / "endless").symlink_to("/dev/zero")
    assert "is a device" in refusal(lambda: read_bytes(folder / "endless", 100))


@pytest.mark.parametrize("inside", [True, False])
def test_a_named_pipe_does_not_wait(folder: Path, inside: bool) -> None:
    os.mkfifo(folder / "pipe")
    assert "is a named pipe" in refusal(lambda: read_bytes(folder / "pipe", 100, folder if inside else None))


def test_a_pipe_in_the_place_of_a_folder_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert "behind a named pipe" in refusal(lambda: read_bytes(folder / "pipe" / "a.npz", 100, folder))


def test_a_socket_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as found:
        found.bind("socket")
        assert "is a socket" in refusal(lambda: read_bytes(folder / "socket", 100, folder))


def test_a_folder_is_no_file(folder: Path) -> None:
    assert "is a folder" in refusal(lambda: read_bytes(folder / "queries", 100, folder))


def test_what_became_a_link_between_two_looks_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is swapped after its kind was looked at and before it is opened."""
    opened = os.open

    def swapped(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        if path == "run.json":
            (folder / "run.json").unlink()
            (folder / "run.json").symlink_to("../secret.txt")
        return opened(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapped)
    assert "can't be read" in refusal(lambda: read_bytes(folder / "run.json", 100, folder))


def test_what_became_a_pipe_between_two_looks_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def swapped(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        if path == "run.json":
            (folder / "run.json").unlink()
            os.mkfifo(folder / "run.json")
        return opened(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapped)
    assert "named pipe" in refusal(lambda: read_bytes(folder / "run.json", 100, folder))


@pytest.mark.parametrize("name", ["../secret.txt", "queries/../../secret.txt", "", "."])
def test_nothing_outside_is_read(folder: Path, name: str) -> None:
    assert "outside" in refusal(lambda: read_bytes(folder / name, 100, folder))


def test_an_absolute_path_elsewhere_is_outside(folder: Path) -> None:
    assert "outside" in refusal(lambda: read_bytes(Path("/etc/passwd"), 100, folder))


@pytest.mark.parametrize("name", ["a\0b", "line\nbreak", "\x1b[2Jclear", "right\u202eleft", "\udcff"])
def test_odd_names_are_refused_and_shown_escaped(folder: Path, name: str) -> None:
    refusal(lambda: read_bytes(folder / name, 100, folder))


def test_a_name_that_no_system_takes_is_refused(folder: Path) -> None:
    refusal(lambda: read_bytes(folder / ("x" * 5000), 100))
    refusal(lambda: read_bytes(folder / ("x" * 5000), 100, folder))
    refusal(lambda: read_bytes(Path("a\0b"), 100))


def test_a_missing_file_is_named(folder: Path) -> None:
    assert "gone.json is not there" in refusal(lambda: read_bytes(folder / "gone.json", 100, folder))
    assert "not there" in refusal(lambda: read_bytes(folder / "gone" / "a", 100, folder))


def test_a_file_without_permission_is_refused(folder: Path) -> None:
    (folder / "run.json").chmod(0)
    if os.access(folder / "run.json", os.R_OK):
        pytest.skip("this user reads everything")
    assert "Permission denied" in refusal(lambda: read_bytes(folder / "run.json", 100, folder))


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"\xff", "UTF-8"), (b"a\0b", "NUL"), (b"\xef\xbb\xbfa", "byte order"), (b"\xed\xa0\x80", "UTF-8")],
)
def test_text_is_utf8_without_nul_and_mark(folder: Path, content: bytes, word: str) -> None:
    (folder / "text").write_bytes(content)
    assert word in refusal(lambda: read_text(folder / "text", 100, folder))


def test_descriptors_are_closed_after_refusals(folder: Path) -> None:
    (folder / "link").symlink_to("run.json")
    os.mkfifo(folder / "pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("link", "pipe", "gone", "queries", "queries/gone", "run.json"):
        for inside in (folder, None):
            try:
                read_bytes(folder / name, 1, inside)
            except BadInput:
                continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_listing_names_files_and_what_is_none(folder: Path) -> None:
    (folder / "link").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "queries" / "pipe")
    (folder / "forged\nvalid: all is well").touch()
    (folder / "\udcff").touch()
    found = list_files(folder)
    assert found.files == ("queries/a.npz", "run.json")
    assert len(found.odd) == 5
    assert all(line.isprintable() for line in found.odd)
    assert "queries/pipe is a named pipe; only plain files are read" in found.odd


def test_a_listing_ends(folder: Path) -> None:
    for number in range(5):
        (folder / str(number)).touch()
    assert "more than 4 files" in refusal(lambda: list_files(folder, 4))
    deep = folder / "/".join("d" * 20)
    deep.mkdir(parents=True)
    assert "deeper than" in refusal(lambda: list_files(folder))
    assert "can't be read" in refusal(lambda: list_files(folder / "gone"))
