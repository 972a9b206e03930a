"""The command `hashbench compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hashbench.cli import options
from hashbench.cli.endings import say
from hashbench.cli.sections import Whole
from hashbench.readers.toml_files import MOST_BITS


@click.command(epilog="Example: hashbench compare cgat none --attack pgd-hamming")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@options.options(
    click.option("--attack", "attacks", multiple=True, metavar="NAME", help="An attack. Repeatable.  [default: all]"),
    click.option("--dataset", metavar="NAME", help="Use only cells of this data set."),
    click.option("--method", metavar="NAME", help="Use only cells of this hashing method."),
    click.option("--backbone", metavar="NAME", help="Use only cells of this network."),
    click.option("--bits", type=Whole(1, MOST_BITS), help="Use only cells of this code length."),
    click.option(
        "--training", metavar="PARAMS", help="Use only cells after this clean training; 'clean': with its defaults."
    ),
    click.option("--norm", type=click.Choice(["linf", "l2"]), help="Use only cells whose budget bounds this norm."),
    click.option("--patch", type=Whole(1, 9999), metavar="SIDE", help="Use only cells of this patch."),
    click.option("--eps", metavar="NUMBER", help="Use only cells of this budget."),
    click.option(
        "--seed", "seeds", type=options.SEED, multiple=True, help="A seed. Repeatable.  [default: all that both have]"
    ),
    options.as_json,
    options.store,
    options.out,
    options.plugin,
)  # fmt: skip
def compare(
    first: str, second: str, attacks: Sequence[str], dataset: str | None, method: str | None, backbone: str | None,
    bits: int | None, training: str | None, norm: str | None, patch: int | None, eps: str | None,
    seeds: Sequence[int], as_json: bool, store: Path, out: Path, plugins: Sequence[Path],
) -> None:  # fmt: skip
    """Tell which of two defenses is better, or that they can't be told apart.

    A and B are defenses with cells in the store. They are paired over the same queries and seeds, under
    each attack that both have (except noise) and in the worst case over the untargeted ones. Nothing is
    trained or attacked.
    """
    from hashbench.boards.compare import compare as compared
    from hashbench.boards.pairing import label_of, pair
    from hashbench.boards.tables import check_writable
    from hashbench.boards.terminal import print_comparison
    from hashbench.boards.write import write_comparison
    from hashbench.registry import entries
    from hashbench.running.request import Request, read_eps

    kept = options.open_store(store)
    for path in plugins:
        entries.load_plugin(path)
    check_writable(out)
    results = list(kept.cells())
    named: dict[str, tuple[entries.Registry[Any], str | None]] = {
        "dataset": (entries.datasets, dataset), "method": (entries.methods, method),
        "backbone": (entries.backbones, backbone),
    }  # fmt: skip
    filters: dict[str, object] = {
        name: label_of(group, text, {r.identity[name] for r in results})
        for name, (group, text) in named.items()
        if text is not None
    }
    filters |= {} if bits is None else {"bits": bits}
    if training is not None:
        filters["training"] = Request(training=training).choose_training().label
    filters |= {} if norm is None else {"norm": norm}
    filters |= {} if patch is None else {"norm": f"patch-{patch}"}
    filters |= {} if eps is None else {"eps": read_eps(eps, norm or "linf")}
    labels = [label_of(entries.attacks, text, {r.identity["attack"] for r in results}) for text in attacks]
    comparison = compared(kept, pair(results, (first, second), labels, seed=seeds, **filters))
    written = write_comparison(comparison, out)
    if as_json:
        options.print_document({**comparison.document(), "written": written})
        return
    print_comparison(comparison)
    for path in written:
        say(f"written to {path}")
