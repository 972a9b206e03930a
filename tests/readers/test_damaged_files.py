"""Damaged files of every format: read or refused in one line, soon; and the fuzzer that looks at thousands of them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from fuzz import fuzz_files, guards
from fuzz.fuzz_files import attempt, fuzz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from valid_files import Form, damaged, forms

FORMS = forms()


@pytest.mark.parametrize("name", FORMS)
def test_the_valid_file_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FORMS[name].content)
    FORMS[name].read(path)


@pytest.mark.parametrize("name", FORMS)
@given(st.integers(0, 2**32 - 1))
@settings(derandomize=True, max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path: Path, name: str, seed: int) -> None:
    path = tmp_path / name
    path.write_bytes(damaged(FORMS[name].content, np.random.default_rng(seed)))
    outcome, what = attempt(FORMS[name], path)
    assert outcome in fuzz_files.GOOD, what


@pytest.mark.parametrize("name", FORMS)
def test_every_way_of_cutting_a_file_short_is_read_or_refused(tmp_path: Path, name: str) -> None:
    path, content = tmp_path / name, FORMS[name].content
    for length in range(0, len(content), max(1, len(content) // 25)):
        path.write_bytes(content[:length])
        outcome, what = attempt(FORMS[name], path)
        assert outcome in fuzz_files.GOOD, what


@pytest.mark.parametrize("name", FORMS)
def test_a_file_of_another_format_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    images = {"png", "png-palette", "jpeg", "jpeg-progressive", "tiff", "tiff-lzw", "gif", "webp", "bmp"}
    for other in FORMS.keys() - {name, *(images if name in images else ())}:
        if {name, other} != {"npz", "npz-deflate"}:
            path.write_bytes(FORMS[other].content)
            assert attempt(FORMS[name], path)[0] == "refused", other


def test_a_short_run_of_the_fuzzer_finds_nothing_and_repeats_itself() -> None:
    first, second = fuzz(160), fuzz(160)
    assert not first.findings, str(first)
    assert first.counts == second.counts
    assert sum(sum(found.values()) for found in first.counts.values()) == 160


def test_the_fuzzer_counts_what_it_is_there_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "SECONDS", 0.05)

    def endless(path: Path) -> object:
        while True:
            time.sleep(0.001)

    def wrong(path: Path) -> object:
        raise KeyError("a")

    def wide(path: Path) -> object:
        return bytearray(3 << 30)

    with guards.guarded_memory():
        found = [attempt(Form(b"", read), tmp_path)[0] for read in (endless, wrong, wide)]
    assert found == ["slow", "traceback", "large"]
