"""Options that several commands take."""

from __future__ import annotations

import contextlib
import math
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hashbench.cli.endings import say
from hashbench.cli.sections import Whole
from hashbench.errors import StoreUnusable
from hashbench.readers.toml_files import LARGEST_SEED, MOST_BITS

if TYPE_CHECKING:
    from hashbench.running.request import Request
    from hashbench.running.store import Store

C = TypeVar("C", bound=Callable[..., Any])
LONGEST_PLAN = 1 << 20  # characters of a line that lists all rows of a matrix
FORMATS = ("png", "svg", "pdf", "tex")
SEED = Whole(0, LARGEST_SEED)


def options(*given: Callable[[C], C]) -> Callable[[C], C]:
    """Decorate a command with options, in the order of its help."""

    def add(command: C) -> C:
        for option in reversed(given):
            command = option(command)
        return command

    return add


def open_store(path: Path, *, make: bool = False) -> Store:
    """The store in a folder; one whose keys were digests of code is migrated first, with a message.

    Args:
        make: create the store if there is none.

    Raises:
        StoreUnusable: there is no store, or it can't be written.
    """
    from hashbench.api import measure

    return measure.open_store(path, tell, make=make)


def tell(line: str) -> None:
    """Print a line that is no result."""
    say(line, err=True)


def begin_workers(count: int | None) -> None:
    """Let the processes of `--workers` import what they need while this one does; call it before torch is imported."""
    if count is not None:
        from hashbench.running.cluster import fork_server

        fork_server.begin()


def command_line() -> str:
    """This command as a shell takes it, by which results name what made them."""
    return shlex.join(["hashbench", *sys.argv[1:]])


def say_forecast(
    requests: Sequence[Request], device: str, store: Path, zoo: Path | None = None, *, fresh: bool = False
) -> None:
    """Print what requests would do, and how long it would take on a device.

    Args:
        store: the store's folder, if there is one; what it has is not made again, unless `fresh`.
        zoo: a folder of leaderboards; models that their zoos have are not trained, unless `fresh`.

    Raises:
        BadParameter: the device is not there.
    """
    from hashbench.running.forecast.lines import forecast
    from hashbench.running.runner import choose_device
    from hashbench.verification.zoo import zoo_index

    target, kept = choose_device(device), None if fresh else _store_to_read(store)
    for line in forecast(requests, target, kept, zoo_index(zoo) if zoo and not fresh else ()):
        say(line, limit=LONGEST_PLAN)


def _store_to_read(path: Path) -> Store | None:
    from hashbench.running.store import Store

    with contextlib.suppress(StoreUnusable):
        return Store(path) if (path / "cells").is_dir() else None
    return None


def print_document(document: Any) -> None:
    """Print one JSON document; numbers that are NaN become null, paths become texts."""
    import json

    click.echo(json.dumps(_as_json(document), indent=2, allow_nan=False))


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _as_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str | None) else str(value)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
store = click.option(
    "--store", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
    help="Folder that keeps models and results.",
)  # fmt: skip
out = click.option(
    "--out", type=click.Path(path_type=Path), default=Path("leaderboards"), show_default=True,
    help="Folder for tables and pictures.",
)  # fmt: skip
keep_models = click.option(
    "--keep-models", is_flag=True, help="Also write the models' weights into the leaderboard's folder zoo.",
)  # fmt: skip
zoo = click.option(
    "--zoo", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Take models from the zoos of the leaderboards in FOLDER instead of training them.  [default: --out]",
)  # fmt: skip
plugin = click.option(
    "--plugin", "plugins", type=click.Path(path_type=Path), multiple=True, metavar="FILE",
    help="A Python file that registers anything of your own: attacks, defenses, methods, networks, data sets. "
    "Its code is executed, so name only files that you trust. Repeatable.",
)  # fmt: skip
quiet = click.option("--quiet", is_flag=True, help="Show no progress: no bars in a terminal, no lines elsewhere.")
certifying = click.option(
    "--certify", "certifying", type=click.Choice(["yes", "no"]), default="yes", show_default=True,
    help="Bound each model's mAP from below too, where that takes no longer than its attacks.",
)  # fmt: skip


def _read_formats(context: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    from hashbench.errors import BadParameter
    from hashbench.registry.parameters import suggestion

    given = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",")))
    for word in given:
        if word not in FORMATS:
            raise BadParameter(f"--format {word!r} is no format of pictures{suggestion(word, FORMATS)}")
    return given


formats = click.option(
    "--format", "formats", default="png,svg", show_default=True, metavar="LIST", callback=_read_formats,
    help="Formats of pictures, with commas between them: png, svg, pdf, and tex for the main one as a LaTeX table.",
)  # fmt: skip
device = click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1 ...")
subject = options(
    click.option("--dataset", default="digits", show_default=True, metavar="NAME", help="The data set."),
    click.option("--method", default="csq", show_default=True, metavar="NAME", help="The hashing method."),
    click.option("--backbone", default="cnn", show_default=True, metavar="NAME", help="The network."),
    click.option("--bits", type=Whole(1, MOST_BITS), default=32, show_default=True, help="Code length."),
    click.option(
        "--training", default="", metavar="PARAMS", help="Parameters of clean training: epochs=30,batch_size=32."
    ),
    click.option(
        "--norm", type=click.Choice(["linf", "l2"]), default="linf", show_default=True,
        help="What bounds an attack: the largest move of a pixel, or the l2 norm of the whole change.",
    ),
    click.option(
        "--patch", type=Whole(1, 9999), metavar="SIDE",
        help="Let attacks replace one square of SIDE x SIDE pixels, anywhere, instead of bounding a norm.",
    ),
    click.option("--eps", metavar="NUMBER", help="The budget for pixels in [0, 1].  [default: the data set's]"),
)  # fmt: skip
training = options(
    click.option(
        "--tuned", type=click.Path(path_type=Path), metavar="FILE",
        help="A table from `hashbench tune`; its chosen values apply to defenses given without parameters, and values "
        "that come with hashbench (`--tuned shipped`) to those that it lacks.",
    ),
    click.option("--amp", is_flag=True, help="Train in mixed precision (bfloat16); attacks and metrics stay in full."),
)  # fmt: skip
threads = click.option(
    "--threads", type=Whole(1), default=1, show_default=True,
    help="Torch threads per process; the number of threads affects the last digits.",
)  # fmt: skip
spread = options(
    click.option("--workers", type=Whole(1), metavar="N", help="Run in N processes on this machine."),
    click.option("--scheduler", metavar="ADDRESS", help="Run on the workers of a Dask scheduler: tcp://host:8786."),
    threads,
)
