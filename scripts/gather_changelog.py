"""Gather the fragments of changelog.d/ under a release's heading in CHANGELOG.md, and remove them.

    python scripts/gather_changelog.py 0.2.0 2026-12-01

A fragment is called NUMBER.KIND.md: the number of the issue, and a word. Words of the list below have sections of their
own; all others stand under the last one. No release manager is needed for it: fragments are whole sentences already.
"""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECTIONS = {
    "attack": "Attacks", "defense": "Defenses", "method": "Hashing methods", "backbone": "Networks",
    "dataset": "Data sets", "fix": "Corrections",
}  # fmt: skip
OTHER = "Program"
UNRELEASED = "Changes since the last release stand as fragments in `changelog.d/`; a release gathers them here."
NAME = re.compile(r"(\d+)\.([a-z0-9-]+)\.md")


def gather(root: Path, version: str, day: str) -> list[Path]:
    """Write the release's part of CHANGELOG.md; returns the fragments that are in it now.

    Raises:
        SystemExit: there is no fragment, one has another name, or the changelog has the version already.
    """
    changelog, fragments = root / "CHANGELOG.md", sorted((root / "changelog.d").glob("*"), key=_place)
    text = changelog.read_text(encoding="utf-8")
    if not fragments or f"\n## {version} " in text:
        raise SystemExit(f"there is nothing to gather for {version}: no fragment, or the changelog has it already")
    sections: dict[str, list[str]] = {}
    for path in fragments:
        kind = SECTIONS.get(path.name.split(".")[1], OTHER)
        sections.setdefault(kind, []).extend(f"- {said}" for said in _entries(path.read_text(encoding="utf-8")))
    order = [OTHER, *SECTIONS.values()]
    parts = [f"### {kind}\n\n" + "\n".join(sections[kind]) for kind in order if kind in sections]
    head, _, rest = text.partition(UNRELEASED)
    before = rest.strip()
    whole = [f"{head.strip()}\n\n{UNRELEASED}", f"## {version} ({day})", *parts, *([before] if before else [])]
    changelog.write_text("\n\n".join(whole) + "\n", encoding="utf-8")
    return fragments


def _entries(text: str) -> list[str]:
    r"""What a fragment says, an entry for each paragraph and each item of a list, on one line.

    >>> _entries("- One thing,\n  wrapped.\n- Another.\n")
    ['One thing, wrapped.', 'Another.']
    """
    parts = re.split(r"\n\s*\n|^- |\n- ", text.strip())
    return [" ".join(part.split()) for part in parts if part.strip()]


def _place(path: Path) -> tuple[int, str]:
    found = NAME.fullmatch(path.name)
    if not found:
        raise SystemExit(f"{path} is no fragment; call it NUMBER.KIND.md")
    return int(found[1]), found[2]


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit("give the version, and the day if it isn't today: gather_changelog.py 0.2.0 2026-12-01")
    for gathered in gather(ROOT, sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else date.today().isoformat()):
        gathered.unlink()
