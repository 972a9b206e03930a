"""The help of the whole program: its commands in sections, by what they are for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click

from hashbench.cli.endings import Commands

SECTIONS: dict[str, tuple[str, ...]] = {
    "Start": ("run", "check", "tune", "study"),
    "Compare": ("compare", "attack-board", "certify", "corruptions", "score"),
    "Share": ("report", "page", "submit", "verify", "break", "restore"),
    "Inspect": ("list", "data", "gallery"),
    "Maintain": ("migrate",),
}
OTHERS = "Others"
LONGEST = 200  # characters of a command's first sentence


class SectionedGroup(Commands):
    """A group of commands whose help lists them in sections; one that belongs to none stands in the last."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        longest = max(map(len, self.commands))
        for title, names in [*SECTIONS.items(), (OTHERS, sorted(outside(self.commands)))]:
            rows = [
                (name, self.commands[name].get_short_help_str(LONGEST))
                for name in names
                if name in self.list_commands(ctx)
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl([(name.ljust(longest), text) for name, text in rows])


class NameAmong(click.Choice[str]):
    """One of a few words; the error for another one suggests the nearest."""

    def __init__(self, kind: str, words: Sequence[str]) -> None:
        super().__init__(words)
        self.kind = kind

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word itself.

        Raises:
            UnknownName: it is none of them.
        """
        from hashbench.errors import UnknownName
        from hashbench.registry.parameters import suggestion

        if value not in self.choices:
            raise UnknownName(f"no {self.kind} is called {value!r}{suggestion(value, self.choices)}")
        return value


class Whole(click.IntRange):
    """A whole number in a range; the error for anything else says which ones there are."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number itself; click ends the command where it is none."""
        wanted = f"a whole number {f'of at least {self.min}' if self.max is None else f'from {self.min} to {self.max}'}"
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is no whole number; give {wanted}", param, ctx)
        if number not in range(self.min or 0, number + 1 if self.max is None else int(self.max) + 1):
            self.fail(f"{number} is out of range; give {wanted}", param, ctx)
        return number


def outside(names: Iterable[str]) -> set[str]:
    """The commands that belong to no section."""
    return set(names) - {name for listed in SECTIONS.values() for name in listed}
