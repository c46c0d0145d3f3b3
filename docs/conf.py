"""How Sphinx builds these pages: `make docs`, or rosdoc2."""
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

# Only names and docstrings are read, so that no engine needs to be there.
autodoc_mock_imports = ['cv2', 'llvmlite', 'numba', 'scipy', 'skimage', 'torch']
autodoc_member_order = 'bysource'
autodoc_preserve_defaults = True
autodoc_typehints = 'none'

# Pages that are files of the repository, where people look for them on other sites.
OF_THE_REPOSITORY = {
    'readme': 'README.md', 'contributing': 'CONTRIBUTING.md', 'changelog': 'CHANGELOG.rst'}


def link(match):
    """Return a link from the root of the repository as one from this folder."""
    target = match[1].removeprefix('./')
    for page, path in OF_THE_REPOSITORY.items():
        if target == path:
            return f']({page}{Path(path).suffix})'
    return f"]({target.removeprefix('docs/') if target.startswith('docs/') else f'../{target}'})"


def read(_, page, source):
    """Fill a page with the file of the repository that it stands for, or with its tables."""
    if page in OF_THE_REPOSITORY:
        text = (ROOT / OF_THE_REPOSITORY[page]).read_text()
        source[0] = re.sub(r'\]\((?!https?:|#)([^)]+)\)', link, text)
    elif page == 'parameters':
        source[0] = source[0].rpartition('`make docs`')[0] + parameter_tables.tables()


def tell_fields(_, what, name, documented, options, lines):
    """Add the fields of a dataclass, with the comments that stand beside them."""
    if what == 'class' and dataclasses.is_dataclass(documented):
        source = inspect.getsource(documented)
        lines += [f':param {field}: {comment}' for field, comment in re.findall(
            r'^    (\w+): .*?  # (.*)$', source, re.M)]


def setup(app):
    """Register what is above."""
    app.connect('source-read', read)
    app.connect('autodoc-process-docstring', tell_fields)
