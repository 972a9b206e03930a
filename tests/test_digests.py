from __future__ import annotations

from pathlib import Path

from hashbench.digests import code_digest


def test_comments_and_docstrings_do_not_count(tmp_path: Path) -> None:
    texts = ['"""Says."""\nx = 1  # why\n', "x = 1\n", "x = 2\n"]
    digests = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.py"
        path.write_text(text)
        digests.append(code_digest(path))
    assert digests[0] == digests[1] != digests[2]
