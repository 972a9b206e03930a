from __future__ import annotations

from pathlib import Path

from hashbench import methods
from hashbench.fingerprint import code_digest, source_digest

FOLDER = Path(methods.__file__).parent


def test_the_digest_of_an_entry_covers_the_siblings_that_it_imports() -> None:
    assert source_digest(FOLDER / "dch.py") == code_digest(FOLDER / "dch.py")
    assert source_digest(FOLDER / "dph.py") != code_digest(FOLDER / "dph.py")  # it imports memory.py


def test_comments_and_docstrings_do_not_count(tmp_path: Path) -> None:
    texts = ['"""Says."""\nx = 1  # why\n', "x = 1\n", "x = 2\n"]
    digests = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.py"
        path.write_text(text)
        digests.append(code_digest(path))
    assert digests[0] == digests[1] != digests[2]
