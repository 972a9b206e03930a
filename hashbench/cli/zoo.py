"""The commands `hashbench attack-board` and `hashbench break`, which work on the weights beside a leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hashbench.cli import options
from hashbench.cli.endings import say
from hashbench.errors import BadInput


@click.command("attack-board", epilog="Example: hashbench attack-board BOARD --plugin mine.py --attack mine")
@click.argument("board", metavar="BOARD", type=click.Path(path_type=Path, exists=True, file_okay=False))
@options.options(
    click.option("--attack", "attacks", multiple=True, required=True, metavar="NAME", help="An attack. Repeatable."),
    options.plugin,
    click.option(
        "--defense", "defenses", multiple=True, metavar="LABEL",
        help="A row to attack, as in results.csv. Repeatable.  [default: all]",
    ),
    click.option(
        "--seed", "seeds", type=options.SEED, multiple=True, help="Seed of rows to attack. Repeatable.  [default: all]"
    ),
    click.option(
        "--store", type=click.Path(path_type=Path), default=Path("runs") / "zoo", show_default=True,
        help="Folder that keeps what is computed, apart from models that you trained.",
    ),
    click.option(
        "--models", type=click.Path(path_type=Path), metavar="STORE", help="A store with models that the zoo lacks."
    ),
    click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The table.  [default: in BOARD]"),
    options.device,
    options.threads,
)  # fmt: skip
def attack_board(
    board: Path, attacks: Sequence[str], plugins: Sequence[Path], defenses: Sequence[str], seeds: Sequence[int],
    store: Path, models: Path | None, out: Path | None, device: str, threads: int,
) -> None:  # fmt: skip
    """Attack all models of a leaderboard with a new attack, without one training.

    BOARD is a leaderboard's folder with its models' weights in its folder zoo. Says which rows the attack lowers and by
    how much, as a table and as CSV; the leaderboard's own tables stay as they are.
    """
    from hashbench.api.attack_board import attack_board as attacked
    from hashbench.boards.terminal import print_lines

    found = attacked(
        board, attacks, plugins=plugins, defenses=defenses, seeds=seeds, store=store, models=models, out=out,
        device=device, threads=threads,
    )  # fmt: skip
    print_lines([f"{found.title}; mAP in percent", *(_line(dict(row)) for row in found.table.to_dict("records"))])
    say(f"written to {found.path}")
    if not found.results:
        raise BadInput(f"no model was attacked; {_line(dict(found.table.iloc[0]))}")


def _line(row: dict[Any, Any]) -> str:
    from hashbench.registry.short_labels import cell_name

    values = {name: float(value) * 100 for name, value in row.items() if isinstance(value, float)}
    who = cell_name(row["defense"], row["attack"])
    if "map_worst_now" not in values:
        return f"{who}: not attacked: {row['note'] or 'it has no worst case'}"
    said = f"{who}: {values['map_attack']:.1f}"
    said += f" ({values['map_attack_on_board']:.1f} on the board)" if "map_attack_on_board" in values else ""
    if not row["lowered"]:
        return f"{said}; lowers no query, worst case {values['map_worst']:.1f}"
    ends = f" [{values['change_ci_low']:.2f}, {values['change_ci_high']:.2f}]" if "change_ci_low" in values else ""
    return (
        f"{said}; worst case {values['map_worst']:.1f} -> {values['map_worst_now']:.1f}, change "
        f"{values['change']:.2f}{ends}, {values['lowered_share']:.1f} % of the queries"
        + (f"; {row['note']}" if row["note"] else "")
    )


@click.command("break", epilog='Example: hashbench break digits/cgat images.npz --by "A. Author"')
@click.argument("row")
@click.argument("images", type=click.Path(path_type=Path))
@options.options(
    click.option("--by", required=True, metavar="TEXT", help="Who made the images, and where that is published."),
    click.option("--seed", type=options.SEED, default=0, show_default=True, help="Seed of the row."),
    click.option(
        "--boards", type=click.Path(path_type=Path), metavar="FOLDER",
        help="A leaderboard's folder or a folder of several.  [default: leaderboards]",
    ),
    options.store,
    options.device,
    options.plugin,
)  # fmt: skip
def break_(
    row: str, images: Path, by: str, seed: int, boards: Path | None, store: Path, device: str, plugins: Sequence[Path]
) -> None:
    """Lower a row by adversarial images that were made elsewhere, with credit.

    ROW is DATASET/DEFENSE, such as digits/cgat. IMAGES is an .npz file with images, [n, channels, height,
    width] of floats in [0, 1] or of bytes, and index, [n] positions in the query set. Each image is audited against
    the row's budget. What lowers the row is written into the folder broken beside the leaderboard's tables, which stay
    as they are; `hashbench verify` checks it and names it.
    """
    from hashbench.api.published import break_row
    from hashbench.boards.terminal import print_lines
    from hashbench.registry import entries

    for path in plugins:
        entries.load_plugin(path)
    facts, record = break_row(row, images, by, seed, boards=boards, store=store, device=device)
    print_lines([facts.line])
    say("nothing is written: no query is lower than under all attacks" if record is None else f"written to {record}")
