"""Tracks: which results may stand in one ranking, by what their attackers see of the victim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from hashbench.threat import kind_of

Row = TypeVar("Row", bound=Mapping[str, Any])
RANKING = "ranking"  # access of attacks that see nothing but the ids of the top items
TOP = "top"  # their parameter: how many ids an answer has
# The versioned attack sets by the names of their attacks, the newest first; a row needs one of them for a rank, which
# is ranking-1 where attackers see ids only, and patch-2 under a patch.
ATTACK_SETS = {
    "standard-3": "standard-3", "standard-2": "standard-2", "standard": "standard-1", "square-ranking": "ranking-1",
    "patch-hamming": "patch-2",
}  # fmt: skip
UNLABELLED = "unlabelled"  # parameter of defenses: images of the database, without labels, that it is trained on too
EVERY = "none"  # access of what sees nothing of the victim, which belongs to every track


def access_of(access: str, params: Mapping[str, Any]) -> str:
    """What results say of an attack's access: `ranking-top-50` where the victim answers with the ids of 50 items.

    >>> access_of("ranking", {"steps": 300, "top": 50}), access_of("white", {"steps": 100})
    ('ranking-top-50', 'white')
    """
    return f"{access}-{TOP}-{params[TOP]}" if access == RANKING else access


def track_of(access: str) -> str:
    """The track of a result by its access; empty for the track of attackers who are given the model or its codes.

    >>> track_of("ranking-top-50"), track_of("white")
    ('ranking-top-50', '')
    """
    return access if access.startswith(f"{RANKING}-") else ""


def ranking_attack(rows: Sequence[Mapping[str, Any]]) -> str:
    """The attack that ranks the rows of a track or under a patch.

    >>> ranking_attack([{"access": "white", "norm": "patch-4"}]), ranking_attack([{"access": "white", "norm": "l2"}])
    ('patch-hamming', 'standard')
    """
    if any(track_of(str(row["access"])) for row in rows):
        return "square-ranking"
    return "patch-hamming" if any(kind_of(str(row["norm"])) == "patch" for row in rows) else "standard"


def trained_on_more(defense: str) -> bool:
    """Whether a row's label says that its model was trained on more than the labelled training set.

    >>> [trained_on_more(label) for label in ("cgat:unlabelled=1,weight=3", "cgat:weight=3", "mine:unlabelled=False")]
    [True, False, False]
    """
    given = dict(part.split("=", 1) for part in defense.partition(":")[2].split(",") if "=" in part)
    return given.get(UNLABELLED, "0") not in ("0", "0.0", "False")


def words_of(track: str) -> str:
    """A track for people; empty for that of attackers who are given the model or its codes.

    >>> words_of("ranking-top-50")
    'attackers see the ids of the top 50'
    """
    return f"attackers see the ids of the top {track.rpartition('-')[2]}" if track else ""


def naming_row(rows: Sequence[Row]) -> Row:
    """The row of a leaderboard whose access names its track; the first one on that of the main track.

    Args:
        rows: identities, or rows of results.csv.
    """
    return next((row for row in rows if track_of(str(row.get("access", "")))), rows[0])


def by_track(cells: Sequence[tuple[str, object]]) -> dict[str, list[int]]:
    """The positions of the cells of each track, by the track's name.

    A cell that sees nothing of the victim belongs to all tracks that its model was attacked in, and to the main one if
    there are none.

    Args:
        cells: the access of each, and its model.

    >>> by_track([("none", "a"), ("white", "a"), ("ranking-top-50", "a"), ("none", "b")])
    {'': [0, 1, 3], 'ranking-top-50': [0, 2]}
    """
    attacked: dict[object, set[str]] = {}
    for access, model in cells:
        if access != EVERY:
            attacked.setdefault(model, set()).add(track_of(access))
    found: dict[str, list[int]] = {}
    for place, (access, model) in enumerate(cells):
        for track in attacked.get(model, {""}) if access == EVERY else {track_of(access)}:
            found.setdefault(track, []).append(place)
    return dict(sorted(found.items()))
