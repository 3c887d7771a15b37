"""How the documentation is built: `make docs`, with warnings as errors."""

import logging
import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

logging.getLogger("alembic").setLevel(logging.WARNING)  # autodoc imports it, which it tells

project = "Foldlog"
author = "The Foldlog team"
version = release = version_of("foldlog")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "command_help"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"Foldlog {release}"
default_role = "literal"

myst_enable_extensions = ["attrs_block", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 88
autodoc_preserve_defaults = True
add_module_names = False

# The names of other libraries, and of what our docstrings raise without its module.
nitpick_ignore_regex = [(r"py:(class|exc|obj)", r".*")]
