"""What a release is made of agrees with itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from gather_changelog import gather
from lowest import AS_THEY_ARE, QUICK, lowest, requirements

ROOT = Path(__file__).parents[1]


def test_the_citation_has_the_version_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = dict(re.findall(r"^([a-z-]+): (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE))
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])


def test_the_environment_of_the_main_job_has_what_its_options_need() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipes = dict(re.findall(r"^(\S+):[^\n]*\n((?:\t[^\n]*\n)+)", makefile, re.MULTILINE))
    assert "--workers" in recipes["run"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    with_dask = {"cluster"} | {extra for extra, needed in project.items() if any("cluster" in one for one in needed)}
    marking = [text for text in recipes.values() if re.search(r"@touch .*\.venv/installed( |$)|@touch \$@", text)]
    assert len(marking) >= 3, "each of these says that `make run` has all it needs"
    for text in marking:
        found = re.search(r"--editable '\.\[([a-z,]+)\]'|-r \.ci/lock\.txt", text)
        assert found, text
        assert found[1] is None or with_dask & set(found[1].split(",")), text


def test_fragments_become_sections_of_a_release(tmp_path: Path) -> None:
    fragments = tmp_path / "changelog.d"
    fragments.mkdir()
    for name, text in {
        "12.attack.md": "Attack `b`.",
        "3.attack.md": "Attack `a`.",
        "7.speed.md": "Faster, on two\ncores.\n- Smaller.",
    }.items():
        (fragments / name).write_text(text + "\n")
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text((ROOT / "CHANGELOG.md").read_text().partition("\n## ")[0])
    assert [path.name for path in gather(tmp_path, "0.2.0", "2026-12-01")] == [
        "3.attack.md",
        "7.speed.md",
        "12.attack.md",
    ]
    (fragments / "3.attack.md").unlink()
    first = changelog.read_text()
    sections = "### Program\n\n- Faster, on two cores.\n- Smaller.\n\n### Attacks\n\n- Attack `a`.\n- Attack `b`.\n"
    assert first.endswith(f"\n\n## 0.2.0 (2026-12-01)\n\n{sections}")
    gather(tmp_path, "0.3.0", "2027-01-01")
    assert changelog.read_text().index("## 0.3.0") < changelog.read_text().index("## 0.2.0")
    with pytest.raises(SystemExit, match=r"nothing to gather for 0\.3\.0"):
        gather(tmp_path, "0.3.0", "2027-01-01")
    (fragments / "notes.md").write_text("")
    with pytest.raises(SystemExit, match=r"call it NUMBER\.KIND\.md"):
        gather(tmp_path, "0.4.0", "2027-01-01")


def test_the_fragments_of_today_can_be_gathered(tmp_path: Path) -> None:
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d" / "9999.feature.md").write_text("A last one, so that there is one after a release too.\n")
    for path in (ROOT / "changelog.d").glob("*"):
        (tmp_path / "changelog.d" / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n")
    found = gather(tmp_path, "9.9.9", "2030-01-01")
    gathered = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    assert len(found) == len(list((tmp_path / "changelog.d").iterdir()))
    assert gathered.count("\n- ") >= len(found)
    assert "after a release too.\n" in gathered


def test_each_dependency_has_a_lower_bound_that_the_quick_tests_can_be_run_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split("[>=]", text)[0] for text in project["dependencies"]}
    pinned = dict(text.split("==") for text in requirements())
    assert names - pinned.keys() == set(AS_THEY_ARE)
    assert pinned["numpy"] == re.search(r'"numpy>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1]  # type: ignore[index]
    with pytest.raises(ValueError, match="write click>=VERSION"):
        lowest(["click<9"])
    assert [name for name in QUICK if not (ROOT / name).exists()] == []
