"""Progress bars where they can be seen: in a terminal, or in a notebook's cell."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hashbench.boards.terminal import shown_progress
from hashbench.progress import shown_on
from hashbench.readers.text import printable

LONGEST = 1000  # characters of a line
PAUSE = 0.2  # seconds between two pictures of the bars


@dataclass
class NotebookBars:
    """One line of HTML per running loop, in the output of the cell that runs it; no widgets are needed.

    Args:
        show: shows HTML in place of what it showed last.
    """

    show: Callable[[str], None]
    loops: dict[int, tuple[str, int, int | None]] = field(default_factory=dict)
    made: int = 0
    shown_at: float = 0.0

    def begin(self, name: str, total: int | None) -> int:
        """Show a new loop of `total` steps, or a wait, which has none; returns its handle."""
        self.made += 1
        self.loops[self.made] = (name, 0, total)
        self._draw(at_once=True)
        return self.made

    def advance(self, handle: int) -> None:
        """Move a loop one step forward."""
        name, done, total = self.loops[handle]
        self.loops[handle] = (name, done + 1, total)
        self._draw()

    def end(self, handle: int) -> None:
        """Remove a loop."""
        del self.loops[handle]
        self._draw(at_once=not self.loops)

    def _draw(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self.shown_at < PAUSE:
            return
        self.shown_at = now
        self.show("".join(map(_bar, self.loops.values())))


def _bar(loop: tuple[str, int, int | None]) -> str:
    name, done, total = loop
    if total is None:  # a wait; its bar shows no share
        return f"<div>{html.escape(name)} <progress></progress></div>"
    return f'<div>{html.escape(name)} <progress value="{done}" max="{total}"></progress> {done}/{total}</div>'


def say(line: str) -> None:
    """Print a line that is no result, such as that of a leak, on standard error; a notebook shows it below its cell."""
    sys.stderr.write(f"{printable(line, LONGEST)}\n")


@contextmanager
def progress_shown() -> Iterator[None]:
    """Show the progress of all loops inside the block, in a notebook's cell or on a terminal; else show nothing."""
    display = _notebook_display()
    if display is None:
        with shown_progress(quiet=not sys.stderr.isatty()):
            yield
        return
    with shown_on(NotebookBars(display)):
        yield


def _notebook_display() -> Callable[[str], None] | None:
    """What shows HTML in the running cell of a notebook; None where there is no notebook."""
    python = sys.modules.get("IPython")
    shell: Any = python.get_ipython() if python is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import HTML, display

    place = display(HTML(""), display_id=True)
    return lambda text: place.update(HTML(text))
