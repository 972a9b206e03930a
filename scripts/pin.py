"""Pin anew: write the digits of canaries that have no pin yet or whose version was raised into tests/pins.

Usage: python scripts/pin.py [--force] [KIND[:NAME] ...], such as attacks or defenses:cgat; everything by default.
Digits that moved while the version stayed are refused, unless --force is given.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import pin_files
from canaries import Canary
from pin_files import KINDS, Pin, PinFile


def main() -> None:
    """Write pins, and say which; ends with status 1 where digits were refused."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", metavar="KIND[:NAME]", help=f"one of {', '.join(KINDS)}; all by default")
    parser.add_argument("--force", action="store_true", help="overwrite digits that moved under the same version")
    options = parser.parse_args()
    refused = [line for kind, names in asked(parser, options.words).items() for line in pin(kind, names, options.force)]
    for line in refused:
        print(f"refused: {line}", file=sys.stderr)
    sys.exit(bool(refused))


def asked(parser: argparse.ArgumentParser, words: list[str]) -> dict[str, set[str]]:
    """The names that are asked for by kind; an empty set stands for all of the kind."""
    found: dict[str, set[str]] = {}
    for word in words or KINDS:
        kind, _, name = word.partition(":")
        if kind not in KINDS:
            parser.error(f"no kind is named {kind!r}; take one of {', '.join(KINDS)}")
        known = {canary.name for canary in KINDS[kind]()} | pin_files.read(kind).pins.keys()
        if name and name not in known:
            parser.error(f"{kind} has no {name!r}; take one of {', '.join(sorted(known))}")
        found[kind] = set() if not name or found.get(kind) == set() else found.get(kind, set()) | {name}
    return found


def pin(kind: str, names: set[str], force: bool) -> list[str]:
    """Pin a kind, or some names of it; returns what was refused."""
    canaries, file = KINDS[kind](), pin_files.read(kind)
    machine, made, refused = pin_files.this_machine(), dict[str, Pin](), list[str]()
    kept = {name: old for name, old in file.pins.items() if name in {canary.name for canary in canaries}}
    for canary in canaries:
        if names and canary.name not in names:
            continue
        digits, old = canary.compute(), file.pins.get(canary.name)
        problem = pin_files.verdict(kind, canary, old, digits, exactly=file.machine == machine)
        if problem and not force and not may_move(canary, old):
            refused.append(problem)
        elif problem:
            made[canary.name] = Pin(canary.version, canary.others, digits)
            change = pin_files.moved(old, digits, exactly=True) if old else ""
            print(f"pinned {kind}:{canary.name}, version {canary.version}{f': {change}' if change else ''}")
    for name in file.pins.keys() - kept.keys():
        print(f"removed {kind}:{name}")
    if made or kept != file.pins:
        whole = not (kept.keys() - made.keys()) or file.machine == machine
        pin_files.write(kind, PinFile(machine if whole else {}, {**kept, **made}))
    return refused


def may_move(canary: Canary, old: Pin | None) -> bool:
    """Whether the digits of a canary may be others than its pin's: it has none, or one of other versions."""
    return old is None or (old.version, old.others) != (canary.version, canary.others)


if __name__ == "__main__":
    main()
