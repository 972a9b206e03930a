"""Words that no shell or no user would give: one line on standard error, and nothing odd on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from click import Option
from command import Command
from fuzz import fuzz_words, words
from toy_boards import make_board

from hashbench.cli.main import cli

LONG = "x" * 5000
pytestmark = pytest.mark.usefixtures("registries")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("page", "a\0b"), "holds a NUL character"),
        (("run", "--plugin", "good\0.py"), "holds a NUL character"),
        (("migrate", "\0"), "holds a NUL character"),
        (("run", "--plugin", f"{LONG}.py"), "File name too long"),
        (("list", "--plugin", LONG), "File name too long"),
        (("data", "flickr25k", "--root", LONG), "File name too long"),
        (("run", "--suite", f"{LONG}.toml"), "File name too long"),
        (("report", "--store", LONG), "File name too long"),
        (("run", "--out", LONG), "File name too long"),
        (("run", "--store", LONG), "File name too long"),
        (("score", LONG), "File name too long"),
        (("run", "--defense", "a\nb"), r"no defense is named 'a\nb'"),
        (("run", "--attack", "\x1b[2J"), r"no attack is named '\x1b[2J'"),
        (("data", "\u202edigits"), r"no data set is named '\u202edigits'"),
        (("run", "--attack", "\udcff"), r"no attack is named '\udcff'"),
        (("run", "--bits", "9" * 5000), "--bits"),
        (("run", "--seed", "-1"), "is out of range; give a whole number from 0 to 4294967295"),
        (("run", "--seed", "4294967296"), "is out of range; give a whole number from 0 to 4294967295"),
        (("run", "--eps", "510/255"), "--eps='510/255' is 2; give a budget from 0 to 1"),
        (("run", "--eps", "1/0"), "is not a budget"),
        (("run", "--attack", "hag:steps=99999999999999999999999", "--device", "nowhere"), "nowhere"),
        (("run", "--device", "\x1b]0;title\x07"), "there is no device"),
        (("run", "--scheduler", "\n", "--attack", "hag"), ""),
        (("verify", "absent\n/elsewhere: verified"), "does not exist"),
        (("score", "absent\r\x1b[A"), "is not there"),
        (("tune", "cgat", "--grid", "="), "can't read --grid ="),
        (("tune", "cgat", "--grid", "a\nb=1"), "has no parameter"),
        (("check", "\u2028"), "has no name; write NAME"),
    ],
)
def test_odd_words_are_one_line(command: Command, given: tuple[str, ...], message: str) -> None:
    outcome = command(*given)
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("error: ")
    assert outcome.err[:-1].isprintable()
    assert message in outcome.err
    assert len(outcome.err) <= 2001


def test_a_forecast_shows_odd_names_harmlessly(command: Command) -> None:
    odd = (
        "--dataset",
        "a\x1b[2J",
        "--defense",
        "\u202e",
        "--attack",
        "[bold]x[/bold]",
        "--attack",
        "\udcff",
        "--method",
        LONG,
    )
    outcome = command("run", *odd, "--dry-run")
    assert outcome.code == 0, outcome
    assert all(line.isprintable() for line in outcome.out.splitlines())
    assert r"a\x1b[2J" in outcome.out
    assert "[bold]x[/bold]" in outcome.out


def test_what_was_written_is_said_with_odd_paths_escaped(command: Command) -> None:

    make_board(Path("a\x1b[2J\n"))
    outcome = command("page", "a\x1b[2J\n")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == r"written to a\x1b[2J\x0a/index.html" + "\n"


def test_every_option_of_every_command_is_in_a_template() -> None:
    for name, command in cli.commands.items():
        given = {word for line in words.TEMPLATES if line.startswith(name) for word in line.split()}
        own = {p.opts[0] for p in command.params if isinstance(p, Option)}
        assert own <= given, name
        assert any(line.split()[0] == name for line in words.TEMPLATES)


def test_a_short_run_of_the_fuzzer_finds_nothing() -> None:
    report = fuzz_words.fuzz(300)
    assert not report.findings, str(report)
    assert sum(sum(found.values()) for found in report.counts.values()) == 300


@pytest.mark.slow
def test_ten_thousand_invocations_find_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():  # what dumps a hang needs a real standard error
        report = fuzz_words.fuzz()
        print(f"\n{report}")  # noqa: T201
    assert not report.findings, "\n".join(report.findings)


def test_the_fuzzer_judges_what_it_is_there_for() -> None:
    judged = fuzz_words.judged
    assert judged(0, "written to a\n", "") == ("done", "")
    assert judged(1, "problem\n", "") == ("found", "")
    assert judged(2, "", "error: a\n") == ("refused", "")
    assert judged(2, "", "error: a\nerror: b\n")[0] == "several lines"
    assert judged(2, "", "error: a\nmore\n")[0] == "several lines"
    assert judged(2, "", f"error: {LONG}\n")[0] == "several lines"
    assert judged(2, "", "")[0] == "several lines"
    assert judged(0, "a\x1b[2J\n", "")[0] == "odd output"
    assert judged(3, "", "")[0] == "odd output"
    assert judged(1, "it takes more memory or depth than there is", "")[0] == "large"
    assert fuzz_words.attempt(("page", "absent")) == ("refused", "")
