"""Documents: links lead somewhere, parameters and reasons are those of the code."""
import ast
import importlib.util
import re
from pathlib import Path

import pytest

from instant_nerf_ros.nerf import Config, flatten
from instant_nerf_ros.ros.params.node_config import NodeConfig

ROOT = Path(__file__).parents[1]
DOCS = ROOT / 'docs'
PAGES = sorted([*ROOT.glob('*.md'), *DOCS.rglob('*.md'), *(ROOT / 'underlay').glob('*.md')])
TROUBLESHOOTING = DOCS / 'how-to' / 'troubleshooting.md'
SETTINGS = {
    name: (field, value) for config in (NodeConfig(), Config())
    for name, field, value in flatten(config)}


def anchors(path):
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r'^#+ (.*)$', path.read_text(), re.M)
    return {re.sub(r'[^\w -]', '', heading).strip().lower().replace(' ', '-')
            for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r'\]\((?!https?:)([^)\s]+)\)', page.read_text()):
        path, _, anchor = target.partition('#')
        file = (page.parent / path) if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_is_in_the_contents():
    pages = (path for suffix in ('md', 'rst') for path in DOCS.rglob(f'*.{suffix}'))
    names = {path.relative_to(DOCS).with_suffix('').as_posix() for path in pages} - {'index'}
    trees = re.findall(r'```\{toctree\}(.*?)```', (DOCS / 'index.md').read_text(), re.S)
    listed = re.findall(r'^(?:[^:\n].* <)?([\w/-]+)>?$', ''.join(trees), re.M)
    assert sorted(listed) == sorted(names)


def test_the_readme_is_short():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 130


def test_the_tables_have_each_parameter_once_with_default_range_and_description():
    spec = importlib.util.spec_from_file_location(
        'parameter_tables', DOCS / 'parameter_tables.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = re.findall(r'^\| `([\w.]+)`.*', module.tables(), re.M)
    assert sorted(rows) == sorted(SETTINGS)
    for name, line in zip(rows, re.findall(r'^\| `.*', module.tables(), re.M)):
        field, value = SETTINGS[name]
        assert field.metadata['description'].split(' [')[0] in line
        if isinstance(value, float):
            assert f'`{value}`' in line and f"{field.metadata['low']} to" in line


@pytest.mark.parametrize('page', ['README.md', 'docs/reference/parameters.md'])
def test_parameters_are_documented_with_their_defaults(page):
    table = re.search(
        r'^\| parameter \| default \| \|\n\|[-|]+\|\n((?:\|.*\n)+)', (ROOT / page).read_text(),
        re.M)[1]
    for line in table.splitlines():
        names, defaults = line.split('|')[1:3]
        names = re.findall(r'`([\w.]+)`', names)
        values = re.findall(r'[\w.]+', defaults)[:len(names)]
        assert names, line
        for name, documented in zip(names, values):
            field, value = SETTINGS[name]
            assert value == ('' if documented == 'none' else type(value)(documented)), name
            unit = field.metadata['description'].partition(' [')[2].rstrip(']')
            assert not unit or unit in defaults, name


@pytest.mark.parametrize('page', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_parameters_that_pages_set_exist(page):
    groups = '|'.join({name.partition('.')[0] for name in SETTINGS if '.' in name})
    mentioned = set(re.findall(rf'`((?:{groups})\.\w+)', page.read_text()))
    assert mentioned - {'map.pgm', 'map.yaml', 'map.png'} <= set(SETTINGS)  # but for files


def reasons():
    """Return the reasons for which messages are not used, those that are plain words."""
    found = set()
    for path in (ROOT / 'instant_nerf_ros/ros').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and len(node.args) >= 2:
                called = ast.unparse(node.func)
                first = called.endswith(('dropped.add', 'UnusableError', 'NotYetError'))
                second = called.endswith('drop')  # after the message
                word = node.args[0 if first else 1]
                if (first or second) and isinstance(word, ast.Constant):
                    found.add(word.value)
    return found


def test_the_documentation_has_a_remedy_for_every_reason():
    documented = set(re.findall(r'`([^`]+)`', TROUBLESHOOTING.read_text()))
    assert len(reasons()) > 10
    assert not {why for why in reasons() if not any(why in words for words in documented)}
