"""How the documentation is built: ``make docs``. Pages are MyST Markdown; the reference is written from the code."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("_ext")))

from geobind_docs.colours import DARK_THEME, LIGHT_THEME

from geobind import __version__

project = "geobind"
author = "The geobind developers"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "geobind_docs",
]
exclude_patterns = ["_*"]
smartquotes_action = "D"  # dashes alone: quotes are those that were typed

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autoclass_content = "class"
maximum_signature_line_length = 90
python_use_unqualified_type_names = True
toc_object_entries = False

html_theme = "furo"
html_title = "geobind"
html_static_path = ["_static"]
html_css_files = ["geobind.css"]
html_favicon = "_static/mark.svg"
html_logo = "_static/mark.svg"
html_copy_source = html_show_sourcelink = False
html_theme_options = {"light_css_variables": LIGHT_THEME, "dark_css_variables": DARK_THEME}
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"

copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
copybutton_selector = "div:not(.highlight-text):not(.highlight-none) > div.highlight > pre"
