"""Check the links inside a built site: every relative address leads to a file, every fragment to an id. No network.

python scripts/check_links.py docs/_build/html
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Addresses(HTMLParser):
    """The addresses and ids of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what a tag refers to and what it is called."""
        named = {name: value or "" for name, value in attrs}
        self.found += [named[name] for name in ("href", "src") if name in named]
        self.ids |= {named[name] for name in ("id", "name") if name in named}


def broken(folder: Path) -> list[str]:
    """One line for each link of a folder's pages that leads nowhere."""
    pages = {path.resolve(): read(path) for path in sorted(folder.rglob("*.html"))}
    lines = []
    for path, page in pages.items():
        for address in page.found:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or address in ("", "#"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                lines.append(f"{path.name}: {address} is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                lines.append(f"{path.name}: {address} has no such place")
    return lines


def read(path: Path) -> Addresses:
    """A page's addresses and ids."""
    found = Addresses()
    found.feed(path.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    problems = broken(Path(sys.argv[1]))
    print("\n".join(problems) or "all links inside the site lead somewhere")
    sys.exit(bool(problems))
