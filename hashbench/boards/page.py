"""The page of all leaderboards: one self-contained HTML file; no network, no clock, the same bytes each time."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hashbench.boards.across.shown import ShownGroup, length_pictures, shown_groups
from hashbench.boards.across.write import write_across
from hashbench.boards.evidence_files import BrokenRow, read_breaks
from hashbench.boards.files import LeaderboardFiles, Row, boards_of_page, number
from hashbench.boards.leaderboard import file_name
from hashbench.boards.ranking import RANKED, REFERENCE
from hashbench.boards.tables import writing
from hashbench.readers.folders import read_bytes
from hashbench.readers.text import printable
from hashbench.registry.short_labels import with_preset
from hashbench.running.commands import plugin_files, row_command
from hashbench.running.shared_files import replaced

NAME = "index.html"
LARGEST_PICTURE = 1 << 25  # bytes
ROW_PICTURES = ("curve", "tradeoff", "bracket")  # a table's pictures that each of its rows repeats
CAPTIONS = {
    "matrix": "mAP of each defense under each attack, with its standard deviation over seeds; [ ] is a 95 % interval; "
    "* at or below chance; † flagged",
    "curve": "Robustness curve: mAP against the budget, by the probe's short attack on a part of the queries; "
    "shaded from the lowest to the highest end of the seeds' 95 % intervals",
    "tradeoff": "Clean mAP against the per-query worst case",
    "bracket": "What is certified, the worst case found and clean mAP of each defense: the truth lies in between",
    "precision-recall": "Precision against recall as the Hamming radius grows, clean and under the worst attack; "
    "precision is 0 where nothing is found, and the share of relevant items in a random ranking",
}
LENGTHS = "mAP against the length of codes, clean and in the worst case with its 95 % interval"
VERSIONS = ("package_version", "code_commit", "code_dirty", "python", "torch", "numpy")
COLUMNS = (
    "rank", "rank_group", "seeds", "worst_attack", "attack_set", "attack_set_digest", "delta_vs_cgat", "delta_ci_low",
    "n_queries", "train_cost", "note", "certified", "certified_ci_low", "certified_ci_high", "free_bits",
    "untouched_share",
)  # fmt: skip
NO_MEANINGS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Picture:
    """An SVG file as a data address."""

    name: str
    caption: str
    address: str


@dataclass(frozen=True)
class AttackLine:
    """What one attack did to a defense, averaged over seeds; numbers in [0, 1], or None if missing."""

    attack: str
    access: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    rounded: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class PageRow:
    """One defense's row: what the table shows, and the details behind it."""

    key: str
    defense: str
    ranking: Row
    clean: float | None
    flags: tuple[tuple[str, str], ...]
    lines: tuple[AttackLine, ...]
    signals: tuple[tuple[str, str], ...]
    digests: tuple[tuple[str, str], ...]
    command: str
    pictures: tuple[Picture, ...]
    breaks: tuple[BrokenRow, ...] = ()

    @property
    def status(self) -> str:
        """`ranked`, or the reason why not, in a word or two."""
        return self.ranking.get("status") or "not ranked"

    @property
    def ranked(self) -> bool:
        """Whether the row is ranked; others are greyed out."""
        return self.status == RANKED

    def value(self, column: str) -> float | None:
        """A number of ranking.csv."""
        return number(self.ranking.get(column))


@dataclass(frozen=True)
class Section:
    """One leaderboard: its table and its pictures."""

    key: str
    board: LeaderboardFiles
    entries: tuple[PageRow, ...]
    pictures: tuple[Picture, ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def reference(self) -> str:
        """The row of cgat with which the others are compared; empty if there is none."""
        alone = [entry.defense for entry in self.entries if entry.value("delta_vs_cgat") is None]
        found = [defense for defense in alone if defense.partition(":")[0] == REFERENCE]
        return found[0] if len(found) == 1 and len(alone) < len(self.entries) else ""


def write_page(out: Path, meanings: Mapping[str, str] = NO_MEANINGS) -> Path:
    """Write `index.html` for all leaderboards' folders inside a folder, and return its path.

    Before it what the leaderboards say side by side is written into the folder `across`, which the page shows too.
    Boards with a versioned attack set come first; among equals, those with the most rows.

    Args:
        meanings: what each flag means and what to do about it.

    Raises:
        BadInput: there is no leaderboard, or a table is damaged.
        StoreUnusable: the folder can't be written.
    """
    write_across(out, boards_of_page(out))
    text, path = page_text(out, meanings), out / NAME
    with writing(out), replaced(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")
    return path


def page_text(out: Path, meanings: Mapping[str, str] = NO_MEANINGS) -> str:
    """The text of `index.html` for all leaderboards' folders inside a folder; arguments are those of `write_page`.

    Raises:
        BadInput: there is no leaderboard, or a table is damaged.
    """
    sections = sorted((_section(board, meanings) for board in boards_of_page(out)), key=_weight)
    return render(sections, shown_groups(out), [_picture(path, LENGTHS) for path in length_pictures(out)])


def _weight(section: Section) -> tuple[bool, int]:
    """A sort key that puts the most important sections first; equals keep their order."""
    sets = {entry.ranking.get("attack_set") for entry in section.entries} - {None, "", "custom"}
    return not sets, -len(section.entries)


def render(sections: Sequence[Section], groups: Sequence[ShownGroup] = (), lengths: Sequence[Picture] = ()) -> str:
    """The page's text.

    Args:
        groups, lengths: boards side by side, and pictures of mAP against the length of codes.
    """
    environment = Environment(
        loader=PackageLoader("hashbench.boards"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters.update(
        percent=_written(".1f", 100), points=_written("+.1f", 100), chance_p=_p, plain=_written(".6g"),
        printable=printable, number=number, rank=_written(".3g"), with_preset=with_preset,
    )  # fmt: skip
    subjects = [section.board.subject for section in sections]
    choices = {
        "data set": ("dataset", sorted({one["dataset"] for one in subjects})),
        "method": ("method", sorted({one["method"] for one in subjects})),
        "bits": ("bits", sorted({one["bits"] for one in subjects}, key=lambda bits: (len(bits), bits))),
        "attack set": ("set", sorted({e.ranking.get("attack_set") or "none" for s in sections for e in s.entries})),
    }
    keys = {section.board.place: section.key for section in sections}
    return environment.get_template("page.html").render(
        sections=sections, choices=choices, row_pictures=ROW_PICTURES, groups=groups, lengths=lengths, keys=keys
    )


def _section(board: LeaderboardFiles, meanings: Mapping[str, str]) -> Section:
    key = "t" + hashlib.sha256(board.place.encode()).hexdigest()[:8]
    drawn = [path for path in sorted(board.folder.glob("*.svg")) if not path.name.startswith(".")]
    drawn.sort(key=lambda path: [*CAPTIONS, path.stem].index(path.stem))
    own = {defense: [p for p in drawn if _is_gallery(p, defense)] for defense in board.defenses}
    galleries = {path for paths in own.values() for path in paths}
    broken = _broken(board)
    entries = tuple(
        _entry(board, f"{key}-{place}", one, meanings, [_picture(path) for path in own[one]], broken.get(one, ()))
        for place, one in enumerate(board.defenses)
    )
    subject = board.subject
    names = ("dataset", "split_digest", "backbone", "method", "training", "bits", "norm", "index")
    facts = [(name.replace("_", " "), subject.get(name, "")) for name in names]
    facts += [("eps", board.eps), ("protocol version", subject.get("protocol_version", ""))]
    facts += [("queries", subject.get("n_queries", "")), ("database items", subject.get("n_database", ""))]
    pictures = tuple(_picture(path) for path in drawn if path not in galleries)
    return Section(key, board, entries, pictures, tuple((name, value) for name, value in facts if value))


def _entry(
    board: LeaderboardFiles, key: str, defense: str, meanings: Mapping[str, str], pictures: Sequence[Picture],
    broken: Sequence[BrokenRow],
) -> PageRow:  # fmt: skip
    missing = {"defense": defense, "note": "it is not in ranking.csv; make that with 'hashbench report'"}
    ranking = dict.fromkeys(COLUMNS, "") | next((row for row in board.ranking if row["defense"] == defense), missing)
    cells = board.cells(defense)
    clean = number(ranking.get("map_clean"))
    if clean is None:
        clean = _mean([number(cell["map"]) for cell in cells if cell["attack"] == "none"])
    probes = [row for row in board.sanity if row["defense"] == defense]
    raised = (ranking.get("flags") or "").split() or [flag for row in probes for flag in row.get("flags", "").split()]
    flags = tuple((flag, meanings.get(flag, "")) for flag in dict.fromkeys(raised))
    names = [name for name in (probes[0] if probes else {}) if name not in ("defense", "seed", "flags")]
    signals = tuple((name, ", ".join(row[name] or "-" for row in probes)) for name in names)
    seeds = sorted({int(cell["seed"]) for cell in cells})
    attacks = sorted({cell["attack"] for cell in cells} - {"none"})
    identity = {**board.subject, "eps": board.exact_eps}
    files = plugin_files((cell.get("versions"), board.commands.get(cell["config_digest"], "")) for cell in cells)
    return PageRow(
        key, defense, ranking, clean, flags, _lines(cells), signals, _digests(board, defense, cells),
        row_command(identity, [defense], attacks, seeds, files), tuple(pictures), tuple(broken),
    )  # fmt: skip


def _broken(board: LeaderboardFiles) -> dict[str, list[BrokenRow]]:
    """What others lowered, by defense, the lowest first; of models that the tables do not have nothing is shown."""
    own = {(row["defense"], row["seed"], row.get("model_digest", "")) for row in board.results}
    found: dict[str, list[BrokenRow]] = {}
    for _, facts in sorted(read_breaks(board.folder), key=lambda one: (one[1].map_broken, one[0])):
        if (facts.defense, str(facts.seed), facts.model_digest) in own:
            found.setdefault(facts.defense, []).append(facts)
    return found


def _lines(cells: Sequence[Row]) -> tuple[AttackLine, ...]:
    """One line per attack and attacker, in the order of the tables: clean first, targeted last."""
    groups: dict[tuple[bool, bool, str, str], list[Row]] = {}
    for cell in cells:
        place = (cell.get("goal") == "targeted", cell["attack"] != "none", cell["attack"], cell.get("attacker", ""))
        groups.setdefault(place, []).append(cell)
    lines = []
    for (targeted, _, attack, attacker), group in sorted(groups.items()):
        prefix = "t_" if targeted else ""
        numbers = [_mean([number(cell.get(f"{prefix}{n}")) for cell in group]) for n in ("map", "map_low", "map_high")]
        invalid = tuple(f"seed {cell['seed']}: {cell.get('reason', '')}" for cell in group if cell["status"] != "valid")
        rounded = None if targeted else _mean([number(cell.get("map_8bit")) for cell in group])
        name = attack if attacker in ("", "adaptive") else f"{attack} ({attacker})"
        measure, access = "t-MAP" if targeted else "mAP", group[0].get("access", "")
        value, low, high, rounded = [None] * 4 if invalid else [*numbers, rounded]
        lines.append(
            AttackLine("clean" if attack == "none" else name, access, measure, value, low, high, rounded, invalid)
        )
    return tuple(lines)


def _digests(board: LeaderboardFiles, defense: str, cells: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    """What produced the numbers: code, versions and models, without times or machines."""
    made = [row for row in board.provenance if row["defense"] == defense]
    facts = [(name.replace("_", " "), _listed(row.get(name, "") for row in made)) for name in VERSIONS]
    named = {"defense_params": "defense parameters", "tuned": "tuned by trials"}
    for name in ("model_digest", "codes_digest", *named):
        facts += [(named.get(name, name.replace("_", " ")), _listed(cell.get(name, "") for cell in cells))]
    return tuple((name, value) for name, value in facts if value)


def _listed(values: Any) -> str:
    return ", ".join(dict.fromkeys(value for value in values if value))


def _is_gallery(path: Path, defense: str) -> bool:
    return path.stem.startswith(f"gallery-{file_name(defense)}--")


def _picture(path: Path, caption: str = "") -> Picture:
    content = base64.b64encode(read_bytes(path, LARGEST_PICTURE, path.parent)).decode()
    caption = caption or CAPTIONS.get(path.stem) or path.stem.replace("--", ", ")
    return Picture(path.stem, caption, f"data:image/svg+xml;base64,{content}")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _written(form: str, times: float = 1) -> Callable[[float | None], str]:
    """A filter that writes a number, times another one, in a form."""
    return lambda value: "" if value is None else format(times * value, form)


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
