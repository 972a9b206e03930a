"""Emoji of two vendors, alone and on photographs: roles, styles, transparency, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_files import write_emoji
from toys import pixels

from hashbench.datasets.emoji import emoji
from hashbench.datasets.emoji_collage import crop, emoji_collage, photographs
from hashbench.datasets.emoji_files import Emoji, draw_roles, layers, read_emoji
from hashbench.digests import DATA_VARIABLE
from hashbench.errors import BadInput, BadParameter, MissingData
from hashbench.models.data import ImageSet, RetrievalSplit

SMALL = {"train": 40, "database": 60, "queries": 20, "validation": 20}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("emoji")
    write_emoji(root)
    return root


def copied(folder: Path, path: Path) -> Path:
    return Path(shutil.copytree(folder, path / "copy"))


def roles_of(split: RetrievalSplit) -> dict[str, ImageSet]:
    return {"train": split.train, "queries": split.queries, "validation": split.validation, "database": split.database}


def test_each_emoji_is_in_one_role_and_shown_in_both_styles(folder: Path) -> None:
    split = emoji(root=folder, smallest=8)
    assert {role: len(part) for role, part in roles_of(split).items()} == {
        "train": 24,
        "queries": 6,
        "validation": 6,
        "database": 12,
    }
    everything = torch.cat([pixels(part) for part in roles_of(split).values()])
    assert len(torch.unique(everything.flatten(1), dim=0)) == 48
    assert (split.channels, split.size, split.eps) == (3, 32, 8 / 255)
    for part in roles_of(split).values():
        assert (part.labels.sum(1) == 1).all()
        assert (part.labels.sum(0) == len(part) / 3).all()
    assert split.digest == emoji(root=folder, smallest=8).digest


def test_an_emoji_keeps_its_label_and_its_drawing(folder: Path) -> None:
    found, split = read_emoji(folder, 8), emoji(root=folder, smallest=8, size=64, style="twitter")
    (first, *_) = found.roles["queries"]
    name = found.subcategories[found.labels[first]]
    assert split.queries.labels[0].argmax() == found.labels[first]
    files = folder / "emoji-datasource-twitter" / "img" / "twitter" / "64"
    own = []
    for path in files.glob(f"{name.rpartition('-')[2]}-*.png"):
        drawn = Image.open(path)
        white = Image.new("RGBA", drawn.size, "white")
        own.append(np.asarray(Image.alpha_composite(white, drawn).convert("RGB")).astype(float))
    seen = (pixels(split.queries)[0].permute(1, 2, 0) * 255).numpy()
    assert min(np.abs(seen - one).max() for one in own) <= 1


def test_under_a_shift_of_style_queries_are_one_vendors_and_the_database_the_others(folder: Path) -> None:
    by_style = {style: emoji(root=folder, smallest=8, style=style) for style in ("google", "twitter", "shift")}
    for role, vendor in (
        ("queries", "twitter"),
        ("validation", "twitter"),
        ("train", "google"),
        ("database", "google"),
    ):
        assert torch.equal(pixels(roles_of(by_style["shift"])[role]), pixels(roles_of(by_style[vendor])[role]))
    assert not torch.equal(pixels(by_style["google"].queries), pixels(by_style["twitter"].queries))


def test_emoji_that_look_alike_are_taken_once(folder: Path, tmp_path: Path) -> None:
    root = copied(folder, tmp_path)
    images = root / "emoji-datasource-google" / "img" / "google" / "64"
    shutil.copy(images / "0-0.png", images / "1-0.png")
    found = read_emoji(root, 7)
    assert np.bincount(found.labels).tolist() == [8, 7, 8]


def test_every_role_has_each_subcategory_even_of_four() -> None:
    labels = np.repeat([0, 1, 2], [4, 9, 40])
    roles = draw_roles(labels)
    assert sorted(np.concatenate(list(roles.values()))) == list(range(53))
    for role, counts in (("queries", [1, 1, 5]), ("database", [1, 2, 10]), ("train", [1, 5, 20])):
        assert np.bincount(labels[roles[role]]).tolist() == counts


def test_layers_average_colours_by_their_opacity() -> None:
    picture = np.zeros((1, 2, 2, 4), np.uint8)
    picture[0, 0, 0] = (200, 100, 0, 255)
    picture[0, 0, 1] = (100, 0, 0, 51)
    behind = np.full((3, 1, 1), 50, np.uint8)
    # Of four pixels one is opaque and one a fifth so.
    wanted = [(200 + 100 / 5 + 50 * 2.8) / 4, (100 + 50 * 2.8) / 4, 50 * 2.8 / 4]
    assert layers(picture, 1).over(behind, 0)[:, 0, 0].tolist() == [round(value) for value in wanted]


def test_a_collage_holds_emoji_of_its_labels_and_of_its_role_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The colours of the small emoji are all different, so that a scene's pixels tell which it holds."""
    found = read_emoji(folder, 8)
    split = emoji_collage(root=folder, smallest=8, size=64, style="google", **SMALL)
    assert {role: len(part) for role, part in roles_of(split).items()} == SMALL
    assert len(torch.unique(torch.cat([pixels(part) for part in roles_of(split).values()]), dim=0)) == 140
    colours = {tuple(picture[32, 32, :3].tolist()): place for place, picture in enumerate(found.pictures["google"])}
    for role, part in roles_of(split).items():
        counts = set()
        for image, labels in zip(pixels(part), part.labels, strict=True):
            middles = [(image[:, top, left] * 255).round().int().tolist() for top in (16, 48) for left in (16, 48)]
            held = [colours[tuple(middle)] for middle in middles if tuple(middle) in colours]
            assert set(held) <= set(found.roles[role].tolist())
            assert set(found.labels[held]) == set(labels.nonzero().flatten().tolist())
            counts.add(len(held))
        assert counts == {1, 2, 3}


def test_both_sizes_show_the_same_scenes(folder: Path) -> None:
    large, small = (emoji_collage(root=folder, smallest=8, size=size, **SMALL) for size in (64, 32))
    assert torch.equal(large.queries.labels, small.queries.labels)
    halved = torch.nn.functional.avg_pool2d(pixels(large.queries), 2)
    assert (halved - pixels(small.queries)).abs().mean() < 0.5 / 255  # more only at the borders of emoji


def test_crops_come_from_the_photographs_that_scikit_learn_ships() -> None:
    china, flower = photographs()
    assert china.shape == flower.shape == (3, 427, 640)
    white = np.full((3, 427, 640), 255, np.uint8)
    assert (crop(white, 32, np.random.RandomState(0)) == 255).all()
    assert crop(china, 64, np.random.RandomState(1)).std() > 1


def remove(path: str) -> Any:
    def change(root: Path) -> None:
        target = root / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return change


def put(path: str, content: object) -> Any:
    return lambda root: (root / path).write_text(content if isinstance(content, str) else json.dumps(content))


def enlarge(root: Path) -> None:
    Image.new("RGBA", (65, 64)).save(root / "emoji-datasource-twitter" / "img" / "twitter" / "64" / "2-1.png")


GOOGLE, TWITTER = "emoji-datasource-google", "emoji-datasource-twitter"
LISTED = {"subcategory": "a", "has_img_google": True, "has_img_twitter": True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            remove(TWITTER),
            r"there is no .*-twitter; get it with npm install --prefix .* emoji-datasource-google@16\.0\.0 ",
        ),
        (remove(f"{GOOGLE}/package.json"), r"there is no .*package\.json; get it with npm install"),
        (put(f"{GOOGLE}/package.json", {"version": "15.1.0"}), r"package\.json is of version '15\.1\.0', not 16\.0\.0"),
        (remove(f"{GOOGLE}/emoji.json"), r"there is no .*emoji\.json; get it with npm install"),
        (put(f"{GOOGLE}/emoji.json", "{"), r"emoji\.json is not JSON"),
        (
            put(f"{GOOGLE}/emoji.json", [{**LISTED, "image": "../a.png"}]),
            r"0\.image is '\.\./a\.png', not the name of a",
        ),
        (put(f"{GOOGLE}/emoji.json", [{**LISTED, "image": 3}]), r"0\.image"),
        (remove(f"{TWITTER}/img/twitter/64/1-1.png"), r"there is no .*1-1\.png; get it with npm install"),
        (put(f"{TWITTER}/img/twitter/64/1-1.png", "no picture"), r"1-1\.png can't be decoded as an image"),
        (enlarge, r"2-1\.png has 65 x 64 pixels, not 64 x 64"),
    ],
)
def test_what_is_missing_or_damaged_is_one_line(folder: Path, tmp_path: Path, change: Any, message: str) -> None:
    root = copied(folder, tmp_path)
    change(root)
    with pytest.raises((MissingData, BadInput), match=message) as refused:
        emoji(root=root, smallest=8)
    assert "\n" not in str(refused.value)


def test_a_missing_folder_says_how_to_get_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(
        MissingData, match=r"npm install --prefix DIR emoji-datasource-google@16\.0\.0 .*emoji:root=DIR"
    ):
        emoji_collage()
    with pytest.raises(BadParameter, match="no subcategory has 9 emoji"):
        emoji(root=folder, smallest=9)
    (tmp_path / "emoji").mkdir()
    (tmp_path / "emoji" / "node_modules").symlink_to(folder)  # as npm installs them
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert emoji(smallest=8).digest == emoji(root=folder, smallest=8).digest


REAL = Path(os.environ.get(DATA_VARIABLE, "data")) / "emoji"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the two packages in $HASHBENCH_DATA/emoji")
def test_the_real_packages_have_thirty_subcategories_of_twenty_emoji() -> None:
    found: Emoji = read_emoji(REAL, 20)
    assert len(found.subcategories) == 30
    assert {role: len(part) for role, part in found.roles.items()} == {
        "queries": 140,
        "validation": 140,
        "database": 293,
        "train": 652,
    }
