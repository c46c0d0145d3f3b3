"""What colcon and pip install is complete, and starts."""
import ast
import collections
import os
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NAME = 'instant_nerf_ros'
EXECUTABLES = ('mapper_node', 'replay', 'sim_robot')

Installation = collections.namedtuple('Installation', 'prefix executables modules')


def run(*command, **options):
    """Run a command; where it fails, fail with its output."""
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
    """Return a copy of the package: what builds may write to."""
    copy = tmp_path_factory.mktemp('workspace') / NAME
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(
        '.*', '__pycache__', '*.egg-info', 'build', 'install', 'log', 'demo_output'))
    return copy


def install_with_colcon(sources):
    """Return the Installation of `colcon build`."""
    pytest.importorskip('colcon_ros', reason='needs colcon-ros')
    run(sys.executable, '-m', 'colcon', 'build', cwd=sources.parent)
    prefix = sources.parent / 'install' / NAME
    modules = next(prefix.glob(f'**/{NAME}/__init__.py')).parents[1]
    return Installation(prefix, prefix / 'lib' / NAME, modules)


def install_with_pip(sources):
    """Return the Installation of `pip install .` in a virtual environment."""
    prefix = sources.parent / 'venv'
    run(sys.executable, '-m', 'venv', '--without-pip', prefix)
    # The dependencies, pip and setuptools too, are those of this environment.
    python = prefix / 'bin' / 'python'
    modules = Path(run(
        python, '-c', 'from sysconfig import get_path; print(get_path("purelib"))').strip())
    (modules / 'dependencies.pth').write_text(sysconfig.get_path('purelib'))
    run(python, '-m', 'pip', 'install', '--no-deps', '--no-build-isolation', '--no-index', '.',
        cwd=sources)
    return Installation(prefix, prefix / 'bin', modules)


@pytest.fixture(scope='module', params=[install_with_colcon, install_with_pip],
                ids=['colcon', 'pip'])
def installation(request, sources):
    """Return an Installation of each kind."""
    return request.param(sources)


@pytest.mark.slow
def test_ament_finds_the_package_and_all_its_files(installation):
    share = installation.prefix / 'share'
    assert (share / 'ament_index/resource_index/packages' / NAME).is_file()
    installed = {
        path.relative_to(share / NAME) for path in (share / NAME).rglob('*') if path.is_file()}
    expected = {Path('package.xml')}
    for folder in ('config', 'launch', 'rviz'):
        expected |= {path.relative_to(ROOT) for path in (ROOT / folder).glob('*.*')}
    assert expected <= installed
    assert len(expected) >= 4


@pytest.mark.slow
def test_all_modules_are_installed_and_nothing_else(installation):
    def modules(folder):
        files = (*folder.rglob('*.py'), *folder.rglob('py.typed'))
        return {path.relative_to(folder) for path in files}

    assert modules(installation.modules / NAME) == modules(ROOT / NAME)
    for other in ('test', 'underlay', 'tf2_ros', 'tf_transformations'):
        assert not (installation.modules / other).exists()


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.parametrize('name', EXECUTABLES)
def test_an_executable_runs_the_installed_code(installation, name):
    # A params file that does not exist stops a node in rclpy.init, past all imports.
    paths = str(installation.modules), sysconfig.get_path('purelib')
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
    done = subprocess.run(
        [installation.executables / name, '--ros-args', '--params-file', '/no/such/file.yaml'],
        env=environment, cwd='/', stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60)
    assert done.returncode != 0
    assert '/no/such/file.yaml' in done.stdout
    assert str(ROOT) not in done.stdout.replace(sys.prefix, '')


@pytest.mark.slow
def test_the_command_runs_the_installed_code(installation):
    paths = str(installation.modules), sysconfig.get_path('purelib')
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
    help_page = run(installation.executables / 'instant-nerf', 'fit', '--help', env=environment,
                    cwd='/')
    assert 'transforms.json' in help_page and '--target-psnr' in help_page


def test_the_version_is_the_same_everywhere():
    version = ElementTree.parse(ROOT / 'package.xml').findtext('version')
    assert f"version='{version}'" in (ROOT / 'setup.py').read_text()


def imported_modules():
    """Return the top-level modules that the package and its launch files import when they run."""
    modules = set()
    for path in (*(ROOT / NAME).rglob('*.py'), *(ROOT / 'launch').glob('*.py')):
        nodes = [ast.parse(path.read_text())]
        while nodes:
            node = nodes.pop()
            if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING':
                continue  # for type checkers only
            nodes += ast.iter_child_nodes(node)
            if isinstance(node, ast.Import):
                modules |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module.split('.')[0])
    return modules - set(sys.stdlib_module_names) - {NAME}


def test_package_xml_names_what_the_code_imports_and_nothing_else():
    keys = {'cv2': 'python3-opencv', 'llvmlite': 'python3-numba', 'numba': 'python3-numba',
            'numpy': 'python3-numpy', 'rich': 'python3-rich', 'scipy': 'python3-scipy',
            'skimage': 'python3-skimage',
            'tf2_ros': 'tf2_ros_py', 'yaml': 'python3-yaml'}
    with_pip = {
        'gsply', 'imageio_ffmpeg', 'pycolmap', 'rosbags', 'safetensors', 'threadpoolctl',
        'tinycudann', 'torch', 'triton', 'trimesh', 'viser', 'websockets'}
    optional = {'octomap_msgs'}
    manifest = ElementTree.parse(ROOT / 'package.xml')
    declared = {element.text for element in manifest.findall('exec_depend')}
    needed = {keys.get(module, module) for module in imported_modules() - with_pip - optional}
    assert declared == needed | {'rviz2'}


def test_constraints_pin_every_requirement():
    def names(path):
        lines = (ROOT / path).read_text().splitlines()
        parts = (line.split('==')[0].split('[')[0] for line in lines if line[:1].isalpha())
        return {part.strip().lower().replace('_', '-') for part in parts}

    assert names('requirements.txt') <= names('constraints.txt')


def displays():
    """Return {name: display} of the RViz configuration."""
    manager = yaml.safe_load((ROOT / 'rviz/mapping.rviz').read_text())['Visualization Manager']
    assert manager['Global Options']['Fixed Frame'] == 'map'
    return {display['Name']: display for display in manager['Displays']}


def test_rviz_gets_a_map_that_was_published_before_it_started():
    for name in ('Map', 'Occupied voxels'):
        topic = displays()[name]['Topic']
        assert topic['Durability Policy'] == 'Transient Local'
        assert topic['Reliability Policy'] == 'Reliable'


def test_rviz_follows_the_namespace_and_the_remappings():
    topics = [display['Topic']['Value'] for display in displays().values() if 'Topic' in display]
    assert {'map', 'image', 'instant_nerf/points', 'instant_nerf/render/image_raw'} <= set(topics)
    assert not [topic for topic in topics if topic.startswith('/')]


def test_rviz_has_the_camera_and_the_rendered_view_side_by_side():
    window = yaml.safe_load((ROOT / 'rviz/mapping.rviz').read_text())['Window Geometry']
    panels = bytes.fromhex(window['QMainWindow State'])  # Qt's, with names in UTF-16
    for name in ('Camera', 'Rendered view'):
        assert displays()[name]['Enabled'] and name in window
        assert name.encode('utf-16-be') in panels
