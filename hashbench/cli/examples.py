"""The command `hashbench gallery`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hashbench.cli import options
from hashbench.cli.endings import say
from hashbench.errors import BadParameter, InvalidCell


@click.command(epilog="Example: hashbench gallery --defense cgat --attack pgd-hamming --query 3")
@options.options(
    click.option("--defense", default="none", show_default=True, metavar="NAME", help="The defense."),
    click.option("--attack", required=True, metavar="NAME", help="The attack."),
    click.option(
        "--query", "positions", type=options.SEED, multiple=True, default=(0, 1, 2), show_default=True,
        help="Position of a query in the query set. Repeatable.",
    ),
    click.option("--oblivious", is_flag=True, help="Hide the defense's transformation from the attacker."),
    options.subject,
    click.option("--seed", type=options.SEED, default=0, show_default=True, help="Seed of training and attack."),
    options.training,
    options.device,
    options.store,
    options.out,
    options.plugin,
    options.quiet,
)  # fmt: skip
def gallery(
    defense: str, attack: str, positions: Sequence[int], oblivious: bool, seed: int, device: str, store: Path,
    out: Path, plugins: Sequence[Path], quiet: bool, **words: Any,
) -> None:  # fmt: skip
    """Draw what an attack does to single queries.

    For each query: the clean and the adversarial image, the difference between them, and the first ten
    images that each retrieves, marked right or wrong. A model that is not in the store is trained first.
    The picture goes into the leaderboard's folder.
    """
    from hashbench.boards.examples import make_examples
    from hashbench.boards.tables import check_writable
    from hashbench.boards.terminal import shown_progress
    from hashbench.boards.write import write_examples
    from hashbench.registry import entries
    from hashbench.running.request import Request, load_once
    from hashbench.running.runner import choose_device, make_deterministic

    for path in plugins:
        entries.load_plugin(path)
    request = Request(defenses=(defense,), attacks=(attack,), seeds=(seed,), **words)
    resolved, target = request.resolve(), choose_device(device)
    check_writable(out)
    kept = options.open_store(store, make=True)
    wanted = (resolved.defenses[-1].label, resolved.attacks[-1].label, "oblivious" if oblivious else "adaptive")
    named = {
        (cell.defense.label, cell.attack.label, cell.attacker): cell for cell in resolved.cells(load_once(options.tell))
    }
    if wanted not in named:
        raise BadParameter(f"{defense} hides no transformation from {attack}; leave out --oblivious")
    make_deterministic(target)
    try:
        with shown_progress(quiet=quiet):
            made = make_examples(named[wanted], tuple(dict.fromkeys(positions)), kept, target)
    except InvalidCell as failure:
        raise BadParameter(f"{defense} under {attack} can't be drawn: {failure}") from None
    say(f"written to {write_examples(made, out)}")
