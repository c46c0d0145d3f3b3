"""Configuration of Sphinx for these pages: `make docs`, or rosdoc2."""
import dataclasses
import inspect
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'docs')]
import parameter_tables  # noqa: E402 - lies in this folder

MANIFEST = ElementTree.parse(ROOT / 'package.xml')

project = MANIFEST.findtext('name')
release = version = MANIFEST.findtext('version')
author = MANIFEST.findtext('maintainer')
copyright = f'{author}, Apache License 2.0'

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.viewcode']
exclude_patterns = ['.venv', '_build', 'requirements.txt']
html_theme = 'sphinx_rtd_theme'
html_show_sphinx = False
html_theme_options = {'navigation_depth': 3}
html_show_sourcelink = False
html_static_path = ['_static']
html_css_files = ['tables.css']
myst_heading_anchors = 4

# Only names and docstrings are read, so the engine need not be installed.
autodoc_mock_imports = [
    'cv2', 'gsply', 'imageio_ffmpeg', 'llvmlite', 'numba', 'rich', 'rosbags', 'scipy', 'skimage',
    'torch']
autodoc_member_order = 'bysource'
autodoc_preserve_defaults = True
autodoc_typehints = 'none'  # docstrings give shapes and units as well

# Pages that are files of the repository, where other sites expect them.
REPOSITORY_PAGES = {
    'readme': 'README.md', 'contributing': 'CONTRIBUTING.md', 'changelog': 'CHANGELOG.rst'}


def relative_link(match):
    """Return a link relative to the repository as a link relative to this folder."""
    target = match[1].removeprefix('./')
    for page, path in REPOSITORY_PAGES.items():
        if target == path:
            return f']({page}{Path(path).suffix})'
    return f"]({target.removeprefix('docs/') if target.startswith('docs/') else f'../{target}'})"


def fill_page(_, page, source):
    """Replace a placeholder page by its file of the repository, or add the parameter tables."""
    if page in REPOSITORY_PAGES:
        text = (ROOT / REPOSITORY_PAGES[page]).read_text()
        source[0] = re.sub(r'\]\((?!https?:|#)([^)]+)\)', relative_link, text)
    elif page == 'reference/parameters':
        source[0] = source[0].rpartition('`make docs`')[0] + parameter_tables.tables()


def document_fields(_, what, name, documented, options, lines):
    """Add the fields of a dataclass, with the comments beside them."""
    if what == 'class' and dataclasses.is_dataclass(documented):
        source = inspect.getsource(documented)
        lines += [f':param {field}: {comment}' for field, comment in re.findall(
            r'^    (\w+): .*?  # (.*)$', source, re.M)]


def setup(app):
    """Register the functions above."""
    app.connect('source-read', fill_page)
    app.connect('autodoc-process-docstring', document_fields)
