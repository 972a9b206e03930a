"""Valid invocations of every command with every option, and mutations of them that never get as far as a training."""

from __future__ import annotations

import functools

import click
import numpy as np

from hashbench.cli.main import cli
from hashbench.registry import entries
from hashbench.registry.parameters import parameters

Words = tuple[str, ...]

# What each command is given at the end, so that it stops before it trains whatever the words before are. Twice where
# an option at the end of the other words could take the first one as its value.
STOPS: dict[str, tuple[Words, ...]] = {
    "run": (
        *[("--dry-run", "--dry-run")] * 6, ("--device", "nowhere", "--attack", "nonesuch"),
        *[("--device", "nowhere") * 2] * 3, ("--attack", "nonesuch") * 2,
        ("--defense", "cgat:nonesuch=1") * 2, ("--plugin", "absent.py") * 2, ("--suite", "absent.toml") * 2,
    ),
    "tune": (("--attack", "nonesuch") * 2, ("--plugin", "absent.py") * 2),
    "study": (("--dry-run", "--dry-run"), ("--reference", "nonesuch") * 2, ("--plugin", "absent.py") * 2),
    "certify": (*[("--device", "nowhere")] * 3, ("--defense", "nonesuch") * 2, ("--plugin", "absent.py") * 2),
    "corruptions": (
        *[("--device", "nowhere")] * 3, ("--corruption", "nonesuch") * 2, ("--defense", "nonesuch") * 2,
        ("--plugin", "absent.py") * 2,
    ),
    "gallery": (*[("--device", "nowhere")] * 3, ("--attack", "nonesuch") * 2, ("--plugin", "absent.py") * 2),
    "attack-board": (*[("--device", "nowhere")] * 3, ("--attack", "nonesuch") * 2, ("--plugin", "absent.py") * 2),
    "break": (*[("--device", "nowhere")] * 3, ("--plugin", "absent.py") * 2),
    "check": (("--plugin", "absent.py"), ("--plugin", "bad.py")),
}  # fmt: skip
TEMPLATES = [
    "run --defense cgat --attack pgd-hamming --seed 0 --seed 1",
    "run --defense bit-depth:bits=3 --attack noise --dataset digits --method csq --backbone cnn --bits 32 --eps 8/255",
    "run --training epochs=30,batch_size=32 --device cpu --out leaderboards --store runs --fresh --amp --norm l2",
    "run --suite quick --defense saat --attack hag",
    "run --suite mine.toml --seed 3 --quiet --dry-run",
    "run --tuned tuned.csv --dataset digits-collage --defense cgat",
    "run --workers 2 --threads 1 --plugin good.py --attack mine:steps=3",
    "run --scheduler tcp://127.0.0.1:1 --attack hag",
    "run --attack transfer:attack=hag --attack art-square:steps=5 --attack standard",
    "run --certify no --zoo boards --keep-models --format pdf,tex --attack noise",
    "run --access ranking --attack square-ranking:top=5 --defense cgat",
    "corruptions --dataset digits --defense bit-depth --corruption noise --corruption blur --seed 0 --store runs",
    "corruptions --method csq --backbone cnn --bits 32 --training epochs=1 --eps 0.1 --device cpu --out made --quiet",
    "corruptions --tuned tuned.csv --amp --threads 2 --format png --plugin good.py",
    "report --store runs --out made --keep-models --format svg", "page leaderboards --pictures",
    "attack-board leaderboards --plugin good.py --attack mine --defense cgat --seed 0 --store runs/zoo --models runs "
    "--out new.csv --device cpu --threads 1",
    "break digits/cgat images.npz --by me --seed 0 --boards leaderboards --store runs --device cpu --plugin good.py",
    "list", "list suites", "list corruptions", "list --json", "list attacks", "list defenses --plugin good.py",
    "list datasets", "list methods", "list backbones",
    "report --store runs --out made", "report --store runs --out made --html --quiet",
    "page leaderboards",
    "score codes.npz", "score codes.npz --at 10 --queries", "score codes.npz --json",
    "data digits", "data digits-collage", "data lists:size=16 --root images", "data flickr25k --root images",
    "data digits --plugin good.py --json",
    "tune cgat saat --extend --out new.csv --seed 1000 --attack hag --dataset digits --store runs --device cpu",
    "tune cgat:epochs=2 --grid learning_rate=0.01,0.02 --grid weight=1,2 --bits 16 --method dpsh --backbone cnn",
    "tune cgat --workers 2 --scheduler tcp://127.0.0.1:1 --threads 1 --plugin good.py",
    "tune cgat --training epochs=1 --norm l2 --eps 0.03 --patch 3 --plugin good.py --quiet --grow 0",
    "certify --defense ibp --defense cgat --seed 0 --dataset digits --store runs --out made --tuned tuned.csv --amp "
    "--threads 2",
    "study mine.toml --reference cgat --out made --store runs --device cpu --quiet --dry-run",
    "study quick --workers 2 --scheduler tcp://127.0.0.1:1 --threads 1 --plugin good.py",
    "run --patch 3 --attack patch-hamming:epochs=1", "certify --norm l2 --patch 3", "gallery --norm l2 --patch 2",
    "corruptions --norm linf --patch 3", "compare bit-depth none --patch 3",
    "certify --method csq --backbone cnn --bits 32 --training epochs=1 --eps 0.1 --plugin good.py --device cpu --quiet",
    "check pgd-hamming", "check good.py --plugin good.py", "check cgat:steps=5 --json",
    "compare bit-depth none --attack pgd-hamming:steps=1,restarts=1 --store runs --out made",
    "compare bit-depth none --dataset digits --method csq --backbone cnn --bits 32 --norm linf --eps 32/255 --seed 0",
    "compare none bit-depth --attack noise --plugin good.py --json --training clean",
    "verify leaderboards", "verify sent --json", "verify leaderboards sent --store runs --quiet",
    "verify sent --rerun 2 --seed 1 --allow-files --allow-work 30 --device cpu",
    "verify leaderboards --rerun 1 --plugin good.py --store runs",
    "submit bit-depth --store runs --out new", "submit bit-depth --attack noise --plugin good.py",
    "gallery --defense bit-depth --attack noise --query 3 --query 4 --store runs --out made --device cpu --seed 0",
    "gallery --attack noise --oblivious --dataset digits --method csq --backbone cnn --bits 32 --training epochs=1",
    "gallery --attack hag --eps 0.1 --tuned tuned.csv --amp --plugin good.py --quiet",
    "migrate runs leaderboards", "migrate leaderboards", "restore leaderboards --store runs",
    "--help", "--version", "run --help",
]  # fmt: skip
DRAWING = ("report", "verify leaderboards")  # seconds of drawing: these templates are taken more seldom
NAMES = ("cgat", "none", "digits", "digits-collage", "csq", "cnn", "noise", "hag", "quick", "transfer", "standard",
         "checkpoint", "lists", "flickr25k", "vgg11", "resnet20", "bit-depth", "good.py", "mine")  # fmt: skip
FILES = (
    "runs", "leaderboards", "sent", "codes.npz", "mine.toml", "tuned.csv", "images", "absent", "empty", "folder",
    "folder.py", "pipe", "zero", "loop", "bad.py", "exits.py", "binary.py", "nothing.py", "broken.npz", "huge.npz",
    "nested.toml", "numbers.toml", "many.toml", "broken.csv", "broken-runs", "broken-board", "broken-sent", "codes.npy",
    "/dev/null", "/dev/zero", "/proc/nowhere", "..", ".", "runs/cells", "codes.npz/inner", "~", "~nobody/x",
    "pipe.py", "zero.npz", "pipe.toml", "folder.toml", "image.png", "latin.toml", "latin.csv",
)  # fmt: skip
ODD = (
    "", " ", "0", "1", "-1", "-0", "1e999", "nan", "inf", "-inf", "9" * 30, "9" * 5000, "x" * 5000, "true", "none",
    "8/255", "1/0", "510/255", "0x10", "1_000", "½", "٣", "ünï", "名前", "\0", "a\0b", "\n", "a\nb: verified", "\r",
    "\x1b[2J", "\u202eabc", "\u2028", "\udcff", "\ufeff", "[bold]x[/bold]", "[/]", ":smile:", "=1+1", "@SUM(A1)",
    "--", "-", "---", "-x", "--help", "--version", "--no-such", "%s", "%(x)s", "{}", "{0.__class__}", "$(id)", ";",
    "'", '"', "\\", ",", "=", ":", "::", "a:b=c", "a:=", ":x", "cgat:", "cgat:steps=1,steps=2", "cgat:steps=0",
    "cgat:epochs=99999999999999999999", "cgat:preset=nope", "tcp://", "tcp://[::1", "a" * 300 + ".py", "cuda:999999",
    "meta", "cpu:99", "nope:", "a=b=c", "learning_rate=", "=0.1", "18446744073709551616", "4294967296", "1.5",
)  # fmt: skip
CHARACTERS = "\0\n\t\x1b\u202e\udcff,:=-/.'\"[]{}%0aé名"
ALLOWED = {file for file in FILES if file.startswith("/")}


@functools.cache
def options_of(command: str) -> tuple[str, ...]:
    """The options of a command; none of a word that is none."""
    found = cli.commands.get(command)
    return tuple(name for p in found.params if isinstance(p, click.Option) for name in p.opts) if found else ()


@functools.cache
def named_parameters() -> tuple[str, ...]:
    """`name:parameter=` of every entry of all registries."""
    return tuple(
        f"{entry.name}:{p.name}="
        for registry in entries.REGISTRIES
        for entry in registry
        for p in (*parameters(entry.function),)
    )


def mutated(random: np.random.Generator) -> Words:
    """The words of a valid invocation after one to four mutations, mostly one, ended so that nothing is trained."""
    template = _one(tuple(TEMPLATES), random)
    if template.startswith(DRAWING) and random.random() < 0.8:
        template = _one(tuple(TEMPLATES), random)
    words = template.split()
    for _ in range(min(4, int(random.geometric(0.6)))):
        words = _mutation(words, random)
    words = [_harmless(word) for word in words]
    command = next((word for word in words if word in cli.commands), "")
    stops = STOPS.get(command, ())
    return (*words, *stops[int(random.integers(0, len(stops)))]) if stops else tuple(words)


def _word(random: np.random.Generator) -> str:
    kind = int(random.integers(0, 10))
    if kind < 4:
        return _one(ODD, random)
    if kind < 7:
        return _one(FILES, random)
    if kind == 7:
        return _one(NAMES, random)
    start = _one(named_parameters(), random)
    return start + _one((*ODD, *FILES, *NAMES), random)


def _mutation(words: list[str], random: np.random.Generator) -> list[str]:
    place = int(random.integers(0, len(words) + 1))
    at = min(place, max(0, len(words) - 1))
    if not at and len(words) > 1 and random.random() < 0.9:  # rarely the command itself
        at = int(random.integers(1, len(words)))
    kind = int(random.integers(0, 10))
    options = options_of(words[0]) if words else ()
    if kind <= 2 and words:
        return [*words[:at], _word(random), *words[at + 1 :]]
    if kind == 3:
        return [*words[:at], *words[at + 1 :]]
    if kind == 4 and words:
        return [*words[:place], words[int(random.integers(0, len(words)))], *words[place:]]
    if kind == 5 and options:
        return [*words, _one(options, random), _word(random)]
    if kind == 6 and words:
        return [*words[:at], _changed(words[at], random), *words[at + 1 :]]
    if kind == 7 and len(words) > 1:
        other = int(random.integers(0, len(words)))
        words[at], words[other] = words[other], words[at]
        return words
    if kind == 8 and words:
        return [*words[:at], f"{words[at]}{_one((':', ',', '=', ''), random)}{_word(random)}", *words[at + 1 :]]
    return [*words[: max(1, place)], _word(random), *words[max(1, place) :]]


def _changed(word: str, random: np.random.Generator) -> str:
    """A word with one character more, less, doubled or other."""
    place = int(random.integers(0, len(word) + 1))
    new = CHARACTERS[int(random.integers(0, len(CHARACTERS)))]
    kind = int(random.integers(0, 4))
    if kind == 0:
        return word[:place] + new + word[place:]
    if kind == 1:
        return word[:place] + word[place + 1 :]
    if kind == 2:
        return word[:place] + word[place : place + 1] * 2 + word[place + 1 :]
    return word[:place] + new + word[place + 1 :]


def _harmless(word: str) -> str:
    """A word that names no place outside of the folder of the fuzzer, where a command could write."""
    head, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    if (value.startswith("/") and value not in ALLOWED) or value.count("..") > 1:
        value = "./" + value.replace("..", ".").lstrip("/")
    return f"{head}{equals}{value}"


def _one(values: tuple[str, ...], random: np.random.Generator) -> str:
    return values[int(random.integers(0, len(values)))]
