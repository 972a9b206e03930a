"""Pins: the digits of canaries as they are kept in tests/pins, and what is wrong where they moved."""

from __future__ import annotations

import itertools
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from canaries import Canary, attack_canaries, defense_canaries, method_canaries
from canaries_data import backbone_canaries, dataset_canaries
from canaries_protocol import protocol_canaries
from canary_tools import Digits

PINS = Path(__file__).parent / "pins"
TOLERANCE = 1e-6  # absolute, and relative to the pinned number, where another machine made it
ANEW = "pin anew: make pins"
KINDS: dict[str, Callable[[], list[Canary]]] = {
    "attacks": attack_canaries,
    "defenses": defense_canaries,
    "methods": method_canaries,
    "backbones": backbone_canaries,
    "datasets": dataset_canaries,
    "protocol": protocol_canaries,
}

Machine = dict[str, str | int]


@dataclass(frozen=True)
class Pin:
    """The digits of a canary with what they were made with, as `Canary`."""

    version: int
    others: Mapping[str, str]
    digits: Digits


@dataclass(frozen=True)
class PinFile:
    """The pins of a kind, by name.

    Attributes:
        machine: the one that all of them were made on; empty where there were several.
    """

    machine: Machine
    pins: dict[str, Pin]


def read(kind: str) -> PinFile:
    """The pins of a kind; none where there is no file yet."""
    path = PINS / f"{kind}.json"
    if not path.is_file():
        return PinFile(this_machine(), {})
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return PinFile(found["machine"], {name: Pin(**pin) for name, pin in found["pins"].items()})


def write(kind: str, file: PinFile) -> None:
    """Write the pins of a kind in the order of their names, a line for each named digits."""
    entries = []
    for name, pin in sorted(file.pins.items()):
        digits = ",\n".join(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in pin.digits.items())
        head = json.dumps({key: value for key, value in asdict(pin).items() if key != "digits"})[:-1]
        entries.append(f'  {json.dumps(name)}: {head}, "digits": {{\n{digits}\n  }}}}')
    text = f'{{"machine": {json.dumps(file.machine)},\n "pins": {{\n' + ",\n".join(entries) + "\n}}\n"
    PINS.mkdir(exist_ok=True)
    (PINS / f"{kind}.json").write_text(text, encoding="utf-8")


def this_machine() -> Machine:
    """What a last digit depends on: processor and libraries; canaries always run in one thread."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    words = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    named = [word.strip() for key, word in words.items() if key.strip() in ("model", "model name", "stepping")]
    processor = ", ".join([*sorted(named, key=len, reverse=True), torch.backends.cpu.get_cpu_capability()])
    return {
        "processor": processor if named else platform.processor(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "threads": 1,
    }


def moved(pin: Pin, digits: Digits, *, exactly: bool) -> str:
    """The first number that is not what the pin says, from what to what; empty if there is none."""
    if digits.keys() != pin.digits.keys():
        changed = sorted(digits.keys() ^ pin.digits.keys())
        return f"the numbers {', '.join(changed)} are in one of pin and canary only"
    for name, wanted in pin.digits.items():
        for place, (new, old) in enumerate(itertools.zip_longest(digits[name], wanted)):
            if new is None or old is None or not _same(new, old, exactly=exactly):
                where = f"{name}[{place}]" if len(wanted) > 1 else name
                return f"{where} moved from {old!r} to {new!r}"
    return ""


def verdict(kind: str, canary: Canary, pin: Pin | None, digits: Digits, *, exactly: bool) -> str:
    """What is wrong with a pin, and what to do; empty if nothing is."""
    who = f"{kind}:{canary.name}"
    if pin is None:
        return f"{who} has no pin; pin it: make pins"
    if pin.version != canary.version:
        return f"{who} has version {canary.version}, its pin is of version {pin.version}; {ANEW}"
    change = moved(pin, digits, exactly=exactly)
    if not change:
        return ""
    if pin.others != canary.others:
        return f"{who}: {change}, as may be with {_difference(pin.others, canary.others)}; {ANEW}"
    return f"{who}: {change}. If results are meant to change, {canary.raising}, then {ANEW}"


def unknown(kind: str, canaries: list[Canary], file: PinFile) -> list[str]:
    """What is wrong with pins of things that are no longer there."""
    gone = sorted(file.pins.keys() - {canary.name for canary in canaries})
    return [f"{kind}:{name} has a pin and no entry; remove it: make pins" for name in gone]


def check(kind: str, canary: Canary, file: PinFile) -> str:
    """Compute a canary and compare it with its pin; what is wrong, or nothing."""
    exactly = file.machine == this_machine()
    return verdict(kind, canary, file.pins.get(canary.name), canary.compute(), exactly=exactly)


def _same(new: float, old: float, *, exactly: bool) -> bool:
    return new == old if exactly else abs(new - old) <= TOLERANCE * max(1.0, abs(old))


def _difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return ", ".join(f"{name} {new.get(name, 'gone')} instead of {old.get(name, 'none')}" for name in names)
