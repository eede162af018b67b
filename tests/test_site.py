"""The site is built without a warning, and needs no network to show its formulas."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_it_is_built_without_a_warning(tmp_path):
    ignored = shutil.ignore_patterns("_build", "reference", "__pycache__")
    sources = shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=ignored)  # the reference is written beside them
    (tmp_path / "results").symlink_to(ROOT / "results")
    # Kernels take their time to start: one shows that they do, and test_readme.py runs the other notebooks' cells.
    others = [f"notebooks/{path.name}" for path in (sources / "notebooks").glob("*.md") if path.stem != "rule"]
    with (sources / "conf.py").open("a") as settings:
        settings.write(f"nb_execution_excludepatterns = {others}\nsuppress_warnings.append('myst-nb.lexer')\n")
        settings.write("extensions.remove('sphinx.ext.viewcode')\n")  # as many pages again, of coloured code
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(sources), str(tmp_path / "html")]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / "html" / "reference" / "jax_bioadv.learning.krotov_hopfield.html").read_text()
    assert 'id="jax_bioadv.learning.krotov_hopfield.epoch"' in reference
    assert "accepted: True" in (tmp_path / "html" / "notebooks" / "rule.html").read_text()
    theory = (tmp_path / "html" / "theory.html").read_text()
    assert "mathjax" in theory
    assert "cdn.jsdelivr.net" not in theory
