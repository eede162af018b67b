"""The site: ``make docs`` builds it into docs/_build/html."""

import gc

from jax_bioadv import __version__

gc.disable()  # a third of the time of a build, which leaves little garbage

project, author, release = "jax_bioadv", "The jax_bioadv authors", __version__
copyright = author  # Sphinx's name
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",  # formulas without a network
]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 2
exclude_patterns = ["_build"]
suppress_warnings = ["ref.python"]  # fields of the same name in several classes
nb_execution_mode, nb_execution_raise_on_error, nb_execution_timeout = "force", True, 120
nb_execution_show_tb = True
html_theme = "furo"
html_title = "jax_bioadv"
html_static_path, html_css_files = ["static"], ["wide.css"]

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autosummary_ignore_module_all = False
napoleon_numpy_docstring = False
linkcheck_timeout = 20
