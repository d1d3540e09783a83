"""Sphinx's settings; ``make docs`` builds."""

import os
import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for docs._extensions
os.environ["COLUMNS"] = "92"  # the width of the commands' usage

project = "LBC Explorer"
author = "The authors of LBC Explorer"
copyright = "the authors of LBC Explorer"
version = release = installed("lbc-explorer")
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "docs._extensions.generated",
    "docs._extensions.mathml",
]
html_math_renderer = "mathml"
myst_enable_extensions = ["amsmath", "attrs_inline", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
smartquotes = False  # they would make one dash of the two before an option
add_module_names = False
nitpicky = False

exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"LBC Explorer {release}"
html_copy_source = False
html_show_sourcelink = False
html_permalinks_icon = "#"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
