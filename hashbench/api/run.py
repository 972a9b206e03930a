"""What the command `hashbench run` does, as a function: cells measured, stored, and written as a leaderboard."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from hashbench.api.arguments import count_of, files_of, list_of, naming_arguments, path_of, word_of
from hashbench.api.measure import MeasuredBoard, RunSettings, measured_boards
from hashbench.api.own_functions import Named, name_of, plugins_of
from hashbench.api.progress import progress_shown, say
from hashbench.errors import BadInput
from hashbench.models.arrays import Number, budget_of, whole_of
from hashbench.registry.tracks import EVERY, track_of
from hashbench.running.request import Request
from hashbench.seeds import seeded

PLUGINS = "notebook"  # a folder inside the store, with the files of a notebook's functions
Place = str | Path
T = TypeVar("T")


@naming_arguments
def run(
    dataset: Named = "digits", defenses: Sequence[Named] = (), attacks: Sequence[Named] = (), *,
    backbone: Named = "cnn", method: Named = "csq", bits: int = 32, training: str = "", eps: Number | str | None = None,
    norm: str = "linf", patch: int | None = None, seeds: Sequence[int] = (0,), tuned: Place | None = None,
    amp: bool = False, access: str | None = None, plugins: Sequence[Place] = (), store: Place = "runs",
    out: Place = "leaderboards", device: str = "auto", fresh: bool = False, workers: int | None = None,
    scheduler: str | None = None, threads: int = 1, keep_models: bool = False, zoo: Place | None = None,
    certifying: bool = True,
) -> MeasuredBoard:  # fmt: skip
    """Train, defend, attack, and write the leaderboard: what the command `hashbench run` does, with the same digits.

    The arguments are the command's options, see `hashbench run --help`. What is in the store is not computed again. A
    notebook's function is written into a file there, with what it uses, so that other processes can load it.

    Args:
        dataset, defenses, attacks, backbone, method: names with parameters, or functions of your own with a decorator
            of hashbench. The undefended model and the clean queries are always included.
        training: parameters of the clean training: `epochs=30,batch_size=32`.
        eps: the budget in pixel units of [0, 1]; by default the data set's.
        norm: linf or l2, what the budget bounds.
        patch: the side of a square of pixels that attacks may replace, instead of a norm's budget.
        access: that of the attacks, beside those that see nothing: "ranking" is a black box that answers with ids.
        plugins: Python files with entries of your own; they are executed.
        certifying: also look for bounds that no attack can go below.
        keep_models: also write the models' weights into the leaderboard's folder `zoo`.
        zoo: a folder of leaderboards, by default `out`; models that their zoos have are taken instead of trained.

    Raises:
        UsageError: a name, a parameter, a file or a folder can't be used; nothing has been trained yet.

    >>> import hashbench, tempfile
    >>> place = tempfile.mkdtemp()
    >>> board = hashbench.run(attacks=["noise"], training="epochs=1", store=f"{place}/runs", out=place)
    >>> board.folder.name, board.matrix()["defense"].tolist()
    ('digits-cnn-csq-32bit-clean-epochs-1-linf-32-255', ['none', 'chance'])
    """
    named = _names(dataset, backbone, method, defenses, attacks)
    request = Request(
        named["data set"][0], named["backbone"][0], named["method"][0], whole_of(bits, "bits"),
        word_of(training, "training"), eps if isinstance(eps, str | None) else repr(budget_of(eps)),
        tuple(named["defense"]), tuple(named["attack"]), _seeds(seeds), _maybe(path_of, tuned, "tuned"), amp,
        norm=word_of(norm, "norm"), patch=_maybe(count_of, patch, "patch"), access=_maybe(word_of, access, "access"),
    )  # fmt: skip
    with plugins_of(named, files_of(plugins), path_of(store, "store") / PLUGINS) as files:
        settings = RunSettings(
            Path(store), path_of(out, "out"), word_of(device, "device"), fresh, files,
            _maybe(count_of, workers, "workers"), _maybe(word_of, scheduler, "scheduler"), count_of(threads, "threads"),
            command_of(request, files), keep_models, _maybe(path_of, zoo, "zoo"), certifying, say,
        )  # fmt: skip
        return _written(request, settings)


def _names(
    dataset: Named, backbone: Named, method: Named, defenses: Sequence[Named], attacks: Sequence[Named]
) -> dict[str, list[str]]:
    """The texts by the kind of what they name."""
    given = {
        "data set": [dataset], "backbone": [backbone], "method": [method],
        "defense": list_of(defenses, "defenses"), "attack": list_of(attacks, "attacks"),
    }  # fmt: skip
    return {kind: [name_of(one, kind) for one in listed] for kind, listed in given.items()}


def _seeds(given: Sequence[int]) -> tuple[int, ...]:
    return tuple(whole_of(seed, "a seed") for seed in list_of(given, "seeds", 0))


def _maybe(read: Callable[[Any, str], T], value: Any, what: str) -> T | None:
    """An argument that may be left out."""
    return None if value is None else read(value, what)


def _written(request: Request, settings: RunSettings) -> MeasuredBoard:
    tracks = {track_of(attack.access): attack.label for attack in request.resolve().attacks if attack.access != EVERY}
    if len(tracks) > 1:
        raise BadInput(
            f"{' and '.join(sorted(tracks.values()))} have a leaderboard each, since they see different things of the "
            "model; call run once for each"
        )
    with progress_shown(), seeded(0):
        (board,) = measured_boards([request], settings)
        return replace(board, folder=board.write(settings.out, keep_models=settings.keep_models))


def command_of(request: Request, plugins: Sequence[Path]) -> str:
    """The command that measures a request."""
    plain = Request()
    words = ["hashbench", "run"]
    for name in ("dataset", "backbone", "method", "bits", "training", "norm", "patch", "eps", "tuned", "access"):
        value = getattr(request, name)
        words += [f"--{name}", str(value)] if value != getattr(plain, name) else []
    words += ["--amp"] if request.amp else []
    repeated: tuple[tuple[str, Sequence[Any]], ...] = (
        ("seed", request.seeds if request.seeds != plain.seeds else ()), ("plugin", plugins),
        ("defense", request.defenses), ("attack", request.attacks),
    )  # fmt: skip
    words += [word for option, values in repeated for value in values for word in (f"--{option}", str(value))]
    return shlex.join(words)
