"""The shell completes commands, options and words, as docs/command-line.md says."""

from __future__ import annotations

import pytest
from click.shell_completion import BashComplete

from hashbench.cli.main import cli


@pytest.mark.parametrize(
    ("words", "unfinished", "wanted"),
    [
        ([], "attack", ["attack-board"]),
        (["list"], "at", ["attacks"]),
        (["list"], "su", ["suites"]),
        (["run"], "--def", ["--defense"]),
        (["verify"], "--js", ["--json"]),
    ],
)
def test_the_tab_key_completes_commands_options_and_kinds(words: list[str], unfinished: str, wanted: list[str]) -> None:
    completing = BashComplete(cli, {}, "hashbench", "_HASHBENCH_COMPLETE")
    assert [found.value for found in completing.get_completions(words, unfinished)] == wanted


def test_a_file_is_completed_by_the_shell() -> None:
    completing = BashComplete(cli, {}, "hashbench", "_HASHBENCH_COMPLETE")
    assert [found.type for found in completing.get_completions(["run", "--plugin"], "mi")] == ["file"]
