"""The rules of docs/architecture.md: who may import whom, and what a file may be."""
import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'instant_nerf_ros'
FILES = sorted(PACKAGE.rglob('*.py'))
ROS = {
    'ament_index_python', 'builtin_interfaces', 'cv_bridge', 'launch', 'launch_ros',
    'message_filters', 'rcl_interfaces', 'rclpy', 'rosbag2_py', 'tf2_ros', 'tf_transformations',
}  # fmt: skip
# What a module of nerf/ may import of nerf/: the table of docs/architecture.md.
MAY_IMPORT = {
    'settings': set(),
    'config': {'settings'},
    'camera': set(),
    'error_map': set(),
    'exposure': set(),
    'keyframes': {'camera', 'error_map', 'exposure'},
    'field': set(),
    'samples': set(),
    'composite': set(),
    'loss': set(),
    'occupancy': {'config', 'pages'},
    'pages': set(),
    'floor': set(),
    'grids': {'backends', 'floor'},
    'rays': {'error_map', 'keyframes'},
    'ranges': {'rays'},
    'epipolar': set(),
    'tracks': set(),
    'reprojection': {'epipolar'},
    'alignment': {'epipolar', 'reprojection', 'tracks'},
    'motion_stereo': {'backends'},
    'motion': {'alignment', 'motion_stereo', 'ranges'},
    'batches': {'rays'},
    'held_out': {'rays', 'render'},
    'evidence': {'rays', 'render'},
    'corrections': {'evidence', 'occupancy'},
    'schedule': set(),
    'lesson': {'composite', 'loss', 'samples'},
    'render': {'rays', 'samples', 'composite'},
    'distances': {'grids'},
    'octree': {'grids'},
    'exports': {'grids'},
    'mesh': {'grids', 'rays'},
    'folders': set(),
    'model': {'camera', 'config', 'keyframes', 'occupancy', 'settings'},
    'files': {'exports', 'folders', 'mesh', 'model', 'render'},
    'mapper': {'backends', 'batches', 'config', 'corrections', 'distances', 'evidence', 'field',
               'files', 'grids', 'held_out', 'keyframes', 'lesson', 'motion', 'occupancy',
               'octree', 'ranges', 'rays', 'render', 'schedule'},
    'warm_up': {'camera', 'config', 'mapper', 'motion_stereo'},
    'backends': {'backends'},
}  # fmt: skip
USE_OPENCV = {f'nerf/{name}.py' for name in ('camera', 'epipolar', 'motion', 'motion_stereo')}
USE_DATA = {'ros/sim_robot.py', 'ros/replay.py'}
MOST_LINES = 210


def name_of(path):
    return str(path.relative_to(PACKAGE))


def imports(path):
    """Return the dotted names that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: a relative import'
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    return names


def own(names, part):
    """Return the modules imported of a part of the package, like nerf."""
    prefix = f'instant_nerf_ros.{part}'
    return {
        name.removeprefix(prefix).removeprefix('.') for name in names
        if name == prefix or name.startswith(f'{prefix}.')
    }  # fmt: skip


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_imports_point_down(path):
    names, relative = imports(path), name_of(path)
    roots = {name.split('.')[0] for name in names}
    if 'tinycudann' in roots:
        assert relative == 'nerf/backends/tinycudann_networks.py'
    if 'triton' in roots:
        assert re.fullmatch(r'nerf/backends/(cuda|triton)\w*\.py', relative)
    if 'cv2' in roots:
        assert relative in USE_OPENCV or not relative.startswith('nerf/')
    if 'numba' in roots:
        assert re.fullmatch(r'nerf/backends/(cpu_networks|cpu_threads|numba_\w+)\.py', relative)
    if not relative.startswith('nerf/'):
        assert 'torch' not in roots
        assert own(names, 'nerf') <= {
            'Camera', 'Config', 'Mapper', 'flatten', 'replace',
            'camera.Camera', 'camera.T_BODY_OPTICAL', 'settings.flatten', 'settings.replace',
            'settings.setting', 'warm_up.warm_up'}  # fmt: skip
    if not relative.startswith('ros/'):
        assert not {root for root in roots if root in ROS or root.endswith('_msgs')}
        assert not own(names, 'ros')
    if relative.startswith('data/'):
        assert own(names, 'nerf') <= {'camera.Camera', 'camera.T_BODY_OPTICAL'}
    elif relative not in USE_DATA:
        assert not own(names, 'data')


@pytest.mark.parametrize(
    'path', [path for path in FILES if name_of(path).startswith('nerf/')], ids=name_of)
def test_modules_of_the_library_import_what_the_table_allows(path):
    module = Path(name_of(path)).parts[1].removesuffix('.py')
    used = {name.split('.')[0] for name in own(imports(path), 'nerf')}
    if module == '__init__':
        assert not used  # it imports its names when they are asked for
    else:
        assert used <= MAY_IMPORT[module]


def test_the_table_is_that_of_the_documentation():
    rows = re.findall(
        r'^\| (`nerf/.*?) \| (.*?) \|$', (ROOT / 'docs' / 'architecture.md').read_text(), re.M)
    documented = {}
    for modules, allowed in rows:
        for module in re.findall(r'`(?:nerf/)?([\w/*]+)`', modules):
            documented[module] = set(re.findall(r'`(\w+)`', allowed))
    assert documented.pop('mapper') == {'nerf'}  # all of it
    # which import numba, and tinycudann
    assert documented.pop('backends/*') == {'cpu_networks', 'cpu_threads', 'tinycudann_networks'}
    assert documented == {
        name: used for name, used in MAY_IMPORT.items() if name not in ('mapper', 'backends')}


def test_every_module_of_the_library_is_in_the_table():
    modules = {path.stem for path in (PACKAGE / 'nerf').glob('*.py')} - {'__init__'}
    assert modules | {'backends'} == set(MAY_IMPORT)


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_files_are_short_and_do_not_print(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    assert not any(isinstance(call, ast.Name) and call.id == 'print' for call in calls)


@pytest.mark.parametrize('pattern', [r'/work\b', r'\bshared/', r'/tmp/\w+\.md', r'\bissue \d'])
def test_nothing_speaks_of_where_it_was_written(pattern):
    folders = ['instant_nerf_ros', 'config', 'docs', 'examples', 'launch', 'rviz', 'underlay']
    suffixes = '.py', '.md', '.yaml', '.xml', '.rviz', '.sh', '.toml'
    files = [path for folder in folders for path in (ROOT / folder).rglob('*')
             if path.suffix in suffixes]  # fmt: skip
    files += [*ROOT.glob('*.md'), *ROOT.glob('*.rst'), ROOT / 'Makefile', ROOT / 'setup.py']
    assert len(files) > 50
    told = [str(path.relative_to(ROOT)) for path in files
            if '.egg-info' not in str(path) and re.search(pattern, path.read_text())]  # fmt: skip
    assert not told
