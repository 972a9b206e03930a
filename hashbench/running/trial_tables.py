"""Tables of tuning trials: written by `hashbench tune`, read for the values that it chose."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hashbench.digests import digest
from hashbench.errors import BadInput, StoreUnusable
from hashbench.readers.board_columns import TUNED
from hashbench.readers.csv_tables import read_rows, with_names, wrong_values
from hashbench.readers.text import csv_name
from hashbench.registry.entries import Choice, defenses
from hashbench.registry.protocols import Defense
from hashbench.registry.spec import Spec
from hashbench.running.shared_files import replaced

SHIPPED = "shipped"  # names the table of trials that comes with hashbench
SHIPPED_TABLE = Path(__file__).parent / "suites" / "tuned.csv"
SUBJECT = ("dataset", "backbone", "method", "bits", "training")
COLUMNS = (
    *SUBJECT, "split_digest", "norm", "eps", "attack", "seed", "defense", "trial", "map_clean", "map", "chosen",
)  # fmt: skip

Row = dict[str, str]


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows into a table, replacing those of the same defense on the same subject under the same threat.

    Raises:
        StoreUnusable: the file can't be written.
        BadInput: there is a file of that name which is not such a table.
    """
    kept = read_table(path) if path.exists() else []
    renewed = {_place(row) for row in rows}
    table = [row for row in kept if _place(row) not in renewed] + list(rows)
    table.sort(key=lambda row: _place(row))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: csv_name(value) for name, value in row.items()} for row in table)
    except OSError as error:
        raise StoreUnusable(f"can't write {path} ({error.strerror}); choose another file with --out") from None


def read_table(path: Path) -> list[Row]:
    """The rows of a table of trials.

    Raises:
        BadInput: the file is missing or is not such a table.
    """
    try:
        table = with_names(read_rows(path, header=COLUMNS))
        wrong = wrong_values(table, TUNED) or ([] if table.rows else [f"{table.name} has no rows"])
    except BadInput as error:
        wrong = [str(error)]
    if wrong:
        raise BadInput(f"can't read tuned values ({wrong[0]}); make them with 'hashbench tune'")
    return list(table.rows)


@dataclass(frozen=True)
class Tuned:
    """The chosen trials of a table, for one subject, under one norm, and one budget if it has `eps`.

    A defense that the table has no such trials of has those that come with hashbench, if there are any: whoever tunes
    a defense of their own need not tune the others again.

    Args:
        path: the table; `shipped` is the one that comes with hashbench.
    """

    path: Path
    subject: Mapping[str, str]

    def choose(self, text: str) -> Choice[Defense]:
        """The tuned choice for a defense, given as to `tune`; one without trials and with values or no grid stays.

        Raises:
            BadInput: there are no values of this defense for this subject under this norm and budget, or those of
                several budgets where none is asked for.
        """
        rows = self._rows(text)
        for row in rows:
            if row["chosen"] == "yes":
                return replace(defenses.choose(Spec.parse(row["trial"])), tuned=digest(rows))
        return defenses.choose(Spec.parse(text))

    def eps(self, text: str) -> str:
        """The budget under which the values of a defense were chosen, as the table has it; empty where none were.

        Raises:
            BadInput: as of `choose`.
        """
        return next((row["eps"] for row in self._rows(text)), "")

    def _rows(self, text: str) -> list[Row]:
        """The trials of a defense as it is given; none where it has none and is given parameters or has no grid."""
        spec = Spec.parse(text)
        plain, has_values = defenses.choose(spec), bool(spec.params)
        given = SHIPPED_TABLE if str(self.path) == SHIPPED else self.path
        wanted = {**self.subject, "defense": text}
        for path in [given] if has_values else dict.fromkeys((given, SHIPPED_TABLE)):
            rows = [row for row in read_table(path) if wanted.items() <= row.items()]
            budgets = sorted({row["eps"] for row in rows})
            if len(budgets) > 1:
                raise BadInput(
                    f"{path} has tuned values of {text!r} for eps {' and '.join(budgets)}; say which by --eps"
                )
            if any(row["chosen"] == "yes" for row in rows):
                return rows
        if has_values or not plain.entry.grid:
            return []
        words = " ".join(_option(name, value) for name, value in self.subject.items() if value != "clean")
        of_subject = {name: value for name, value in wanted.items() if name in (*SUBJECT, "defense")}
        others = sorted(
            {f"{row['norm']} eps {row['eps']}" for row in read_table(given) if of_subject.items() <= row.items()}
        )
        found = f" but for {' and '.join(others)}" if others else ""
        where = given if given != SHIPPED_TABLE else "the table that comes with hashbench"
        raise BadInput(
            f"{where} has no tuned values of {text!r}{found}; make them with 'hashbench tune {text} {words}'"
        )


def format_budget(eps: float) -> str:
    """A budget as tables of trials have it."""
    return f"{eps:.6g}"


def _option(name: str, value: str) -> str:
    """An option of the command line for a column of the table."""
    kind, _, side = value.partition("-")
    if name == "training":
        return f"--training {value.partition(':')[2]}"
    return f"--patch {side}" if name == "norm" and kind == "patch" else f"--{name} {value}"


def _place(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in (*SUBJECT, "defense", "norm", "eps"))
