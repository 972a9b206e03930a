"""What an evaluation found: mAPs with intervals, chance, certificate and flags, as a table, as JSON, as a picture."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hashbench.api.arguments import path_of
from hashbench.boards.tables import plain, rounded
from hashbench.errors import BadInput, StoreUnusable
from hashbench.evaluation.flags import meanings
from hashbench.evaluation.judge import Arrays
from hashbench.threat import format_threat

if TYPE_CHECKING:
    from hashbench.boards.plots.evaluation import NotebookFigure

Bounds = tuple[float, float]
COLUMNS = (
    "attack", "goal", "map", "map_low", "map_high", "ci_low", "ci_high", "t_map", "chance_map", "linf_max",
    "forwards", "backwards",
)  # fmt: skip
WORST, CERTIFIED, CLEAN = "worst", "certified", "none"


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """What `hashbench.evaluate` found. mAPs are in [0, 1].

    >>> import torch, hashbench
    >>> images, labels = torch.rand(60, 1, 8, 8), torch.arange(60) % 3
    >>> split = hashbench.split_of_tensors(queries=(images[:9], labels[:9]), database=(images, labels), eps=8 / 255)
    >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 12))
    >>> report = hashbench.evaluate(network, split, attacks="noise", probe=False, certificate=False)
    >>> report.to_frame()["attack"].tolist(), report.certified, report.certified_reason
    (['none', 'noise', 'worst'], None, 'it was not asked for')

    Attributes:
        name: what the model is called.
        bits: how many logits it gives.
        eps: the budget in [0, 1] pixel units.
        map_clean: mAP of the clean queries, expected over the orders of tied items.
        map_clean_interval: its 95 % interval over queries; None for a single query.
        map_worst: mean of each query's lowest AP, clean and under all untargeted attacks; None without an attack.
        map_worst_interval: its 95 % interval.
        chance: mAP of a random ranking, and of a model that gives one code to everything.
        certified: mAP that no attack within the budget can go below; None if no such bound is known.
        certified_interval: its 95 % interval.
        certified_reason: why there is no certificate; empty if there is one.
        flags: names of signs that the robustness is an illusion; `meanings` explains them.
        attacks: the numbers of each attack by its label, `none` for the clean queries.
        queries: the arrays of each attack, per query, such as `average_precision`.
        versions: of the protocol and the probe.
        norm: what the budget bounds: linf, l2 or patch-SIDE.
        leaks: a line for each two roles of the split that have images in common and should not.
    """

    name: str
    bits: int
    eps: float
    seed: int
    split_digest: str
    map_clean: float
    map_clean_interval: Bounds | None
    map_worst: float | None
    map_worst_interval: Bounds | None
    chance: float
    certified: float | None
    certified_interval: Bounds | None
    certified_reason: str
    flags: tuple[str, ...]
    attacks: Mapping[str, Mapping[str, Any]]
    queries: Mapping[str, Arrays] = field(repr=False)
    versions: Mapping[str, int] = field(default_factory=dict)
    norm: str = "linf"
    leaks: tuple[str, ...] = ()

    @property
    def meanings(self) -> dict[str, str]:
        """What each flag of the report means, and what to do about it."""
        known = meanings()
        return {name: known[name] for name in self.flags}

    def to_frame(self) -> pd.DataFrame:
        """One row per attack, `none` for the clean queries, then the worst case and the certificate where known."""
        rows: list[dict[str, Any]] = [{"attack": name, **numbers} for name, numbers in self.attacks.items()]
        ends = (
            (WORST, self.map_worst, self.map_worst_interval),
            (CERTIFIED, self.certified, self.certified_interval),
        )
        for name, value, bounds in ends:
            if value is not None:
                low, high = bounds or (None, None)
                rows.append({"attack": name, "map": value, "ci_low": low, "ci_high": high, "chance_map": self.chance})
        return rounded(rows, COLUMNS)

    def to_json(self, path: str | Path | None = None) -> str:
        """The report as JSON text, without the arrays of single queries.

        Args:
            path: also write it to this file.

        Raises:
            StoreUnusable: the file can't be written.
            BadInput: it is no path of a file.
        """
        names = [name for name in self.__dataclass_fields__ if name not in ("queries", "attacks")]
        content: dict[str, Any] = {name: _plainly(getattr(self, name)) for name in names}
        content["eps"] = self.eps  # exact, so that it can be given again
        content["attacks"] = {
            name: {key: _plainly(value) for key, value in found.items()} for name, found in self.attacks.items()
        }
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        if path is not None:
            with _writing(path_of(path, "path")) as file:
                file.write_text(text, encoding="utf-8")
        return text

    def plot(self, path: str | Path | None = None) -> NotebookFigure:
        """A picture of the mAP under each attack with its interval, the worst case and the chance level.

        Args:
            path: also save it as PNG and as SVG; an ending is replaced.

        Raises:
            StoreUnusable: the files can't be written.
            BadInput: it is no path of a file.
        """
        from hashbench.boards.plots.evaluation import draw_evaluation

        bars = [
            (name, numbers["map"], (numbers["ci_low"], numbers["ci_high"]) if numbers["ci_low"] is not None else None)
            for name, numbers in self.attacks.items()
        ]
        if self.map_worst is not None and len(self.attacks) > 2:
            bars.append((WORST, self.map_worst, self.map_worst_interval))
        if self.certified is not None:
            bars.append((CERTIFIED, self.certified, self.certified_interval))
        if path is None:
            return draw_evaluation(self._title, bars, self.chance, None)
        with _writing(path_of(path, "path")) as file:
            return draw_evaluation(self._title, bars, self.chance, file.with_suffix(""))

    @property
    def _title(self) -> str:
        return f"{self.name}, {self.bits} bits; {format_threat(self.norm, self.eps)}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        table: str = self.to_frame().dropna(axis=1, how="all").to_html(index=False, na_rep="")
        lines = [*(f"{name}: {meaning}" for name, meaning in self.meanings.items()), *map(html.escape, self.leaks)]
        told = "".join(f"<li>{line}</li>" for line in lines)
        return f"{table}<ul>{told}</ul>" if told else table

    def __str__(self) -> str:
        rows = [
            f"{self._title}; mAP in %, 95 % interval over queries",
            _line("clean", self.map_clean, self.map_clean_interval),
            *(_line(name, found["map"]) for name, found in self.attacks.items() if name != CLEAN),
            _line("worst case", self.map_worst, self.map_worst_interval),
            _line(CERTIFIED, self.certified, self.certified_interval, self.certified_reason),
            _line("chance", self.chance),
        ]
        flags = [f"flag: {name}: {meaning}" for name, meaning in self.meanings.items()]
        return "\n".join([*rows, *flags, *self.leaks])


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """Create the folder of a file, and run a block that writes the file."""
    if not path.name:
        raise BadInput(f"path is {str(path)!r}, which names no file; give one, such as report.png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
    except OSError as error:
        raise StoreUnusable(f"can't write {path} ({error.strerror}); name another file") from None


def _line(name: str, value: float | None, bounds: Bounds | None = None, reason: str = "no attack was run") -> str:
    if value is None:
        return f"  {name:<24} -     {reason}"
    interval = f" [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]" if bounds else ""
    return f"  {name:<24} {100 * value:5.1f}{interval}"


def _plainly(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plainly(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else plain(value)
