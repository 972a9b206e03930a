"""The command `hashbench corruptions`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hashbench.cli import options
from hashbench.cli.endings import say


@click.command(epilog="Example: hashbench corruptions --dataset digits --defense cgat")
@options.options(
    click.option("--defense", "defenses", multiple=True, metavar="NAME", help="A defense. Repeatable."),
    click.option(
        "--corruption", "names", multiple=True, metavar="NAME", help="A corruption. Repeatable.  [default: all eight]"
    ),
    options.subject,
    click.option(
        "--seed", "seeds", type=options.SEED, multiple=True, default=(0,), show_default=True,
        help="Seed of trainings. Repeatable.",
    ),
    options.training,
    options.device,
    options.threads,
    options.out,
    options.formats,
    options.store,
    options.plugin,
    options.quiet,
)  # fmt: skip
def corruptions(
    names: Sequence[str], device: str, threads: int, out: Path, formats: Sequence[str], store: Path,
    plugins: Sequence[Path], quiet: bool, **words: Any,
) -> None:  # fmt: skip
    """Measure defended models on corrupted queries, without an attacker.

    Noise, blur, JPEG, brightness, contrast, pixelate, crop and rotation, at five strengths each. The undefended model
    is always included. Models come from the store; those that it lacks are trained. The tables and the picture have a
    folder of their own, and no ranking of attacks takes them in.
    """
    from hashbench.api.corruptions import measure_corruptions
    from hashbench.boards.terminal import print_lines, shown_progress
    from hashbench.registry import entries
    from hashbench.running.request import Request

    for path in plugins:
        entries.load_plugin(path)
    with shown_progress(quiet=quiet):
        found = measure_corruptions(
            Request(**words), names, store=store, out=out, device=device, threads=threads, formats=formats,
            tell=options.tell,
        )  # fmt: skip
    print_lines([f"{found.title}; mAP in percent", *(_line(dict(row)) for row in found.means.to_dict("records"))])
    say(f"written to {found.folder}")


def _line(row: dict[Any, Any]) -> str:
    from hashbench.registry.short_labels import defense_name

    values = {str(name): 100 * value for name, value in row.items() if isinstance(value, float)}
    ends = f" [{values['ci_low']:.1f}, {values['ci_high']:.1f}]" if "ci_low" in values else ""
    kept = f", keeps {values['kept']:.0f} % of what it is above chance" if "kept" in values else ""
    others = ("map_clean", "map_corrupted", "ci_low", "ci_high", "kept", "chance_map")
    each = ", ".join(f"{name} {value:.1f}" for name, value in values.items() if name not in others)
    means = f"clean {values['map_clean']:.1f}, corrupted {values['map_corrupted']:.1f}"
    return f"{defense_name(row['defense'])}: {means}{ends}{kept}; {each}; chance {values['chance_map']:.1f}"
