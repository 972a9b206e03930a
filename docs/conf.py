"""The site: the Markdown pages of this folder, the API's docstrings, the boards' pictures and their page."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from functools import partialmethod
from pathlib import Path

from nbclient import NotebookClient
from sphinx.application import Sphinx

from hashbench import __version__

ROOT = Path(__file__).parents[1]
BOARDS = "leaderboards/index.html"
# Links that leave this folder, as they stand for readers of the repository, and where they lead on the site.
OUTSIDE = {
    "](../CONTRIBUTING.md": "](contributing.md",
    "](../CHANGELOG.md": "](changelog.md",
    f"](../{BOARDS}": f"](page:{BOARDS}",
    "](docs/": "](",
}

project = "hashbench"
author = "The hashbench developers"
project_copyright = "The hashbench developers"
version = release = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "myst-nb"}
exclude_patterns = ["_build"]
# The tutorials are notebooks, executed by each build in empty folders; whatever fails in one stops the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # seconds a cell
nb_execution_show_tb = True
nb_output_stderr = "remove"  # progress
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # cells run `hashbench`
os.environ["OMP_NUM_THREADS"] = "1"  # the number of threads affects the last digits
os.environ["COLUMNS"] = "118"  # of tables that a command prints
# A command's output comes in pieces that end anywhere; the client joins them, and does so only if told.
NotebookClient.__init__ = partialmethod(
    NotebookClient.__init__,
    coalesce_streams=True,
    extra_arguments=["--log-level=40"],  # errors of the kernel only
)
logging.getLogger("traitlets").setLevel(logging.WARNING)  # the client says which kernel it starts
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
myst_url_schemes = {"http": None, "https": None, "page": "{{path}}"}
suppress_warnings = ["misc.highlighting_failure"]  # blocks of shell commands with placeholders
default_role = "code"  # what stands between single backticks in docstrings
autodoc_member_order = "groupwise"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
html_theme = "furo"
html_title = f"hashbench {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False


def lead_inside(app: Sphinx, page: str, source: list[str]) -> None:
    """Make links to files outside of this folder lead to their places on the site."""
    for written, place in OUTSIDE.items():
        source[0] = source[0].replace(written, place)


def copy_boards(app: Sphinx, error: Exception | None) -> None:
    """Copy the page of all boards into the site, with the tables that it links to."""
    folder = ROOT / "leaderboards"
    for path in [ROOT / BOARDS, *folder.rglob("*.csv")]:
        target = Path(app.outdir) / "leaderboards" / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def setup(app: Sphinx) -> None:
    """Connect both."""
    app.connect("source-read", lead_inside)
    app.connect("include-read", lambda app, path, page, source: lead_inside(app, page, source))
    app.connect("build-finished", copy_boards)
