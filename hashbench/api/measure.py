"""Requests measured and ranked: what the command `hashbench run` and `hashbench.run` share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import torch

from hashbench.api.arguments import path_of
from hashbench.boards import leaderboard, probe_tables
from hashbench.boards.certificates import cell_columns, certificates_of, lower_bounds
from hashbench.boards.evidence_files import Evidence
from hashbench.boards.leaderboard import Leaderboard
from hashbench.boards.plots.matrix import FORMATS
from hashbench.boards.probe_tables import ProbeReport
from hashbench.boards.ranking import RankingRow, rank, table
from hashbench.boards.tables import check_writable
from hashbench.boards.write import with_worst, write_leaderboard
from hashbench.errors import BadInput, BadParameter, StoreUnusable
from hashbench.progress import job
from hashbench.registry.short_labels import NONE, defense_name
from hashbench.running import runner
from hashbench.running.cell import Cell
from hashbench.running.certificates import held_against
from hashbench.running.migration import migrate_store
from hashbench.running.probes import kept_probe
from hashbench.running.request import Load, Request, all_cells, load_once
from hashbench.running.runner import choose_device
from hashbench.running.store import Result, Store
from hashbench.verification.zoo import prune_zoo, refuse_lost_weights, take_models, write_zoo

Tell = Callable[[str], object]


@dataclass(frozen=True)
class RunSettings:
    """How and where requests are measured; what changes no digit, but for the device and the threads.

    Attributes:
        plugins: files that are loaded already, and that other processes load too.
        command: what provenance.csv names as the command.
        keep_models: also write the models' weights beside the tables.
        certifying: also look for bounds that no attack can go below.
        zoo: a folder of leaderboards whose weights are taken instead of trainings; `out` by default.
        tell: is told what is worth a line.
    """

    store: Path = Path("runs")
    out: Path = Path("leaderboards")
    device: str = "auto"
    fresh: bool = False
    plugins: tuple[Path, ...] = ()
    workers: int | None = None
    scheduler: str | None = None
    threads: int = 1
    command: str = ""
    keep_models: bool = False
    zoo: Path | None = None
    certifying: bool = True
    tell: Tell = field(default=lambda line: None, repr=False)

    def check(self) -> None:
        """Check that the zoo is there, that the workers can be used, and that no two settings exclude each other.

        Raises:
            BadParameter: workers and a scheduler, or a zoo and `fresh`, are given, or a library is not installed.
            BadInput: the zoo is no folder.
        """
        if self.zoo is not None and not self.zoo.is_dir():
            raise BadInput(f"--zoo={self.zoo} is no folder; give one with leaderboards, or leave it out")
        if self.zoo is not None and self.fresh:
            raise BadParameter(
                "--zoo and --fresh exclude each other, since all is trained again; leave one of them out"
            )
        if self.workers is not None and self.scheduler is not None:
            raise BadParameter("--workers and --scheduler exclude each other; leave one of them out")
        for library, user in (("distributed", self.workers or self.scheduler), ("cryptography", self.workers)):
            if user is not None and find_spec(library) is None:
                raise BadParameter(
                    f"--workers and --scheduler need Dask, and {library} is not installed; "
                    "run pip install 'hashbench[cluster]'"
                )


@dataclass(frozen=True, eq=False)
class MeasuredBoard:
    """A leaderboard as it was measured: what its folder holds, at hand.

    Attributes:
        leaderboard: its results.
        ranking: its rows, the highest worst case first.
        reports: what probes say about its models.
        store: where the cells and their per-query arrays are.
        folder: where its files were written; None before.

    >>> import hashbench
    >>> list(hashbench.MeasuredBoard.__dataclass_fields__)
    ['leaderboard', 'ranking', 'reports', 'store', 'certificates', 'folder']
    """

    leaderboard: Leaderboard
    ranking: tuple[RankingRow, ...]
    reports: tuple[ProbeReport, ...]
    store: Store = field(repr=False)
    certificates: tuple[Evidence, ...] = field(default=(), repr=False)
    folder: Path | None = None

    @property
    def flags(self) -> dict[str, list[str]]:
        """The flags of each defense that has some."""
        return probe_tables.flags_of(self.reports)

    def to_frame(self) -> pd.DataFrame:
        """The ranking: one row per defense, as in ranking.csv."""
        return table(self.ranking)

    def results(self) -> pd.DataFrame:
        """One row per cell, as in results.csv."""
        return self.leaderboard.rows(
            cell_columns(self.leaderboard.results, self.store.arrays, lower_bounds(self.certificates))
        )

    def matrix(self) -> pd.DataFrame:
        """Defenses by attacks, with the worst case, as in matrix.csv."""
        return with_worst(self.leaderboard.matrix(), self.ranking, self.leaderboard.chance)

    def write(
        self, out: Path, formats: Sequence[str] = FORMATS, *, keep_models: bool = False, tell: Tell = lambda line: None
    ) -> Path:
        """Write tables, per-query files and pictures into a folder inside `out`, and return it.

        Args:
            formats: endings of the pictures' files.
            keep_models: also write the models' weights into its folder `zoo`.
            tell: is told which weights the store no longer has.

        Raises:
            StoreUnusable: the folder can't be written.
            BadInput: its zoo has weights of rows that this board lacks; nothing was written.
        """
        with self.store.lock_boards(out):
            refuse_lost_weights(self.leaderboard, out)
            folder = write_leaderboard(
                self.leaderboard, out, self.store, self.ranking, self.reports, self.certificates, formats
            )
            if keep_models:
                for line in write_zoo(self.leaderboard, folder, self.store):
                    tell(line)
            else:
                prune_zoo(self.leaderboard, folder)
            return folder

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        whole: str = self.to_frame().dropna(axis=1, how="all").to_html(index=False, na_rep="")
        return whole


def measured_boards(requests: Sequence[Request], settings: RunSettings) -> list[MeasuredBoard]:
    """Measure requests and rank what comes out; the boards are not written yet.

    Raises:
        UsageError: a name, a parameter, a file or a folder can't be used; nothing has been trained yet.
        ClusterLost: the scheduler can no longer be reached.
    """
    found = measured(requests, settings)
    return ranked_boards(found.results, found.store)


@dataclass(frozen=True)
class Measured:
    """The cells of some requests, their results in the same order, and the store that holds these."""

    cells: Sequence[Cell]
    results: Sequence[Result]
    store: Store


def measured(
    requests: Sequence[Request], settings: RunSettings, *, probing: bool = True, load: Load | None = None
) -> Measured:
    """Measure requests, from this process or from workers.

    Args:
        probing: also probe the models, so that rows get flags.
        load: loads data sets; by default each once, with a word on images in two of its roles.

    Raises:
        UsageError, ClusterLost: as of `measured_boards`.
    """
    settings.check()
    resolved = [request.resolve() for request in requests]
    if settings.scheduler is None:
        choose_device(settings.device)
    check_writable(settings.out)
    kept = open_store(settings.store, settings.tell, make=True)
    with job("reading the data"):
        cells = all_cells(resolved, load or load_once(settings.tell))
    migrate_store(kept, [cell.identity for cell in cells])
    if not settings.fresh:
        _take_models(cells, kept, settings, probing=probing)
    return Measured(cells, _results(requests, cells, kept, settings, probing=probing), kept)


def _take_models(cells: Sequence[Cell], store: Store, settings: RunSettings, *, probing: bool) -> None:
    """Put models of the zoo into the store, for cells and probes that are to be measured."""
    new = [cell for cell in cells if store.cell(cell.key) is None or (probing and kept_probe(cell, store) is None)]
    named = {cell.clean_key: f"{defense_name(NONE)}, seed {cell.seed}" for cell in new}
    named |= {cell.defended_key: f"{cell.defense.label}, seed {cell.seed}" for cell in new if cell.defense.entry.trains}
    root = settings.out if settings.zoo is None else settings.zoo
    if taken := take_models(root, named, store):
        settings.tell(f"taken from the zoo in {root}, not trained: {'; '.join(named[key] for key in taken)}")


def ranked_boards(results: Iterable[Result], store: Store) -> list[MeasuredBoard]:
    """Leaderboards of results with their ranking, and the flags and certificates that the store has for their rows."""
    found = []
    for board in leaderboard.leaderboards(held_against(results, store)):
        reports = probe_tables.reports_of(board, store)
        certificates = certificates_of(board.results, store)
        ranking = rank(board, store.arrays, probe_tables.flags_of(reports), lower_bounds(certificates))
        found.append(MeasuredBoard(board, ranking, tuple(reports), store, tuple(certificates)))
    return found


def open_store(path: Path, tell: Tell, *, make: bool = False) -> Store:
    """The store in a folder; one whose keys were digests of code is migrated first, with a message.

    Args:
        tell: is told of a migration.
        make: create the store if there is none.

    Raises:
        StoreUnusable: there is no store, or it can't be written.
    """
    if not make and not (path / "cells").is_dir():
        raise StoreUnusable(f"{path} is not a store; make one with 'hashbench run', or name one with --store")
    found = Store(path)
    carried = migrate_store(found)
    if carried.cells or carried.probes:
        tell(f"{path}: keys are now made of versions; carried over: {carried}")
    return found


def other_store(given: str | Path | None) -> Store | None:
    """A store that models are taken from, too, if one is given.

    Raises:
        BadInput: it is none.
    """
    if given is None:
        return None
    path = path_of(given, "models")
    if not (path / "cells").is_dir():
        raise BadInput(f"--models={path} is no store; give one that 'hashbench run' has made, or leave it out")
    return Store(path)


def _results(
    requests: Sequence[Request], cells: Sequence[Cell], store: Store, settings: RunSettings, *, probing: bool
) -> list[Result]:
    alone = settings.workers is None and settings.scheduler is None
    if settings.workers is not None and not settings.fresh:
        alone = runner.nothing_left(cells, store, probing=probing, certifying=settings.certifying)
    if alone:
        with limited_threads(settings.threads):
            found = runner.run(
                cells, store, choose_device(settings.device), fresh=settings.fresh, command=settings.command,
                probing=probing, certifying=settings.certifying, plugins=settings.plugins,
            )  # fmt: skip
            return list(found)
    from hashbench.running.cluster import connection, schedule, tasks

    task = tasks.Job(
        tuple(requests), tuple(path.resolve() for path in settings.plugins), Path.cwd(), store.root.resolve(),
        settings.device, store.clock() if settings.fresh else None, settings.command, settings.threads,
        topic=f"hashbench-{secrets.token_hex(8)}",
    )  # fmt: skip
    with connection.connected(settings.workers, settings.scheduler) as client:
        own = settings.scheduler is None
        return schedule.measure(client, task, cells, store, own=own, probing=probing, certifying=settings.certifying)


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Run a block with a number of torch threads, and restore the number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
