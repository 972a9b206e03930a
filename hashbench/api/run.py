"""What the command `hashbench run` does, as a function: cells measured, stored, and written as a leaderboard."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
LISTED = {"seeds": 0, "plugins": "mine.py"}  # what the lists that hold no names hold, for instance


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
    words = _names(dataset, backbone, method, defenses, attacks, seeds=seeds, plugins=plugins)
    (data,), (network,), (objective,) = (words[kind] for kind in ("data set", "backbone", "method"))
    request = Request(
        data, network, objective, whole_of(bits, "bits"), training,
        eps if isinstance(eps, str | None) else repr(budget_of(eps)), tuple(words["defense"]), tuple(words["attack"]),
        tuple(whole_of(seed, "a seed") for seed in seeds), None if tuned is None else Path(tuned), amp, norm=norm,
        patch=None if patch is None else whole_of(patch, "patch"), access=access,
    )  # fmt: skip
    with plugins_of(words, [Path(path) for path in plugins], Path(store) / PLUGINS) as files:
        settings = RunSettings(
            Path(store), Path(out), device, fresh, files, workers, scheduler, threads, command_of(request, files),
            keep_models, None if zoo is None else Path(zoo), certifying, say,
        )  # fmt: skip
        return _written(request, settings)


def _names(
    dataset: Named, backbone: Named, method: Named, defenses: Sequence[Named], attacks: Sequence[Named],
    **others: Sequence[Any],
) -> dict[str, list[str]]:  # fmt: skip
    """The texts by the kind of what they name, once all lists are found to be lists."""
    for name, listed in {"defenses": defenses, "attacks": attacks, **others}.items():
        if isinstance(listed, str | int | Path) or callable(listed):
            raise BadInput(f"{name} is one {type(listed).__name__}; give a list: {name}=[{LISTED.get(name, 'NAME')!r}]")
    given = {"data set": [dataset], "backbone": [backbone], "method": [method], "defense": defenses, "attack": attacks}
    return {kind: [name_of(one, kind) for one in listed] for kind, listed in given.items()}


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
