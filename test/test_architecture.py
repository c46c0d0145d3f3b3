"""The rules of docs/explanation/architecture.md: imports, attributes, and what a file may be."""
import ast
import collections
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'instant_nerf_ros'
ARCHITECTURE = ROOT / 'docs' / 'explanation' / 'architecture.md'
FILES = sorted(PACKAGE.rglob('*.py'))
ROS = {
    'ament_index_python', 'builtin_interfaces', 'cv_bridge', 'launch', 'launch_ros',
    'message_filters', 'rcl_interfaces', 'rclpy', 'rosbag2_py', 'tf2_ros', 'tf_transformations',
}  # fmt: skip
# What a package or module may import of its part: the table of docs/explanation/architecture.md.
NERF = {
    'arrays': set(),
    'blas': set(),
    'constants': set(),
    'local_frame': set(),
    'schedule': set(),
    'ranks': set(),
    'settings': set(),
    'distortion': set(),
    'fisheye': set(),
    'angular_velocity': {'arrays'},
    'camera': {'arrays', 'distortion', 'fisheye'},
    'config': {'settings'},
    'capture': {'arrays', 'camera', 'config', 'constants'},
    'estimated_depth': {'arrays', 'camera', 'capture', 'config', 'motion', 'occupancy'},
    'held_out': {'arrays', 'camera', 'capture'},
    'field': {'arrays', 'capture', 'constants'},
    'occupancy': {
        'arrays', 'camera', 'capture', 'config', 'constants', 'local_frame', 'ranks'},
    'motion': {'arrays', 'camera', 'capture', 'config', 'constants', 'distortion'},
    'products': {
        'arrays', 'camera', 'capture', 'config', 'constants', 'field', 'local_frame', 'occupancy',
        'settings'},
    'backends': {'arrays', 'capture', 'config', 'constants', 'field', 'occupancy', 'ranks'},
    'adaptation': {
        'blas', 'bounds', 'camera', 'capture', 'config', 'constants', 'motion', 'settings'},
    'cut_off': {'capture', 'config', 'occupancy'},
    'trainer': {'capture', 'config', 'cut_off', 'field', 'occupancy', 'ranks', 'schedule'},
    'views': {'camera', 'capture', 'field', 'occupancy', 'trainer'},
    'joining': {'ranks'},
    'sharding': {'capture', 'constants', 'occupancy', 'ranks'},
    'measurements': {
        'arrays', 'blas', 'camera', 'capture', 'config', 'estimated_depth', 'held_out',
        'local_frame', 'motion', 'occupancy'},
    'mapper': {
        'adaptation', 'arrays', 'backends', 'camera', 'capture', 'config', 'field',
        'measurements', 'occupancy', 'products', 'trainer', 'views'},
    'visual_hull': {'arrays', 'camera'},
    'bounds': {
        'arrays', 'camera', 'config', 'motion', 'settings', 'visual_hull'},
    'warm_up': {'camera', 'config', 'mapper', 'motion'},
}  # fmt: skip
ROS_PACKAGES = {
    'conversions': set(),
    'duty_cycle': set(),
    'nav2': set(),
    'periodic': set(),
    'qos': set(),
    'engine': set(),
    'params': set(),
    'transitions': set(),
    'reporting': {'conversions', 'qos'},
    'inputs': {'conversions', 'params', 'qos', 'reporting'},
    'outputs': {'conversions', 'inputs', 'params', 'periodic', 'qos', 'reporting'},
    'training': {'duty_cycle', 'inputs', 'outputs', 'params', 'periodic', 'reporting'},
    'mapping_session': {
        'engine', 'inputs', 'outputs', 'params', 'qos', 'reporting', 'training'},
    'commands': set(),
    'mapper_node': {
        'mapping_session', 'outputs', 'params', 'reporting', 'training', 'transitions'},
    'playback': {'conversions', 'params', 'qos'},
}  # fmt: skip
VIEWER = {
    'advice': set(),
    'page_server': set(),
    'picture_source': set(),
    'node_images': set(),
    'node_controls': set(),
    'stage': {'picture_source'},
    'comparison': {'picture_source'},
    'rendered_pictures': {'picture_source'},
    'node_views': {'picture_source'},
    'node_panel': {'advice', 'stage'},
    'browser_panel': {'comparison', 'rendered_pictures', 'picture_source', 'stage'},
    'saved_scene': {'picture_source', 'stage'},
    'node_source': {'node_images', 'node_views', 'picture_source', 'stage'},
    'page': {
        'browser_panel', 'page_server', 'picture_source', 'rendered_pictures', 'saved_scene',
        'stage'},
    'node_viewer': {'node_controls', 'node_panel', 'node_source', 'page'},
}  # fmt: skip
PARTS = [('nerf', NERF), ('ros', ROS_PACKAGES), ('viewer', VIEWER)]
# What the viewer may import of the adapter: conversions, nothing that runs in the mapper's node.
ADAPTER_NAMES = re.compile(
    r'conversions\..*|inputs\.(calibration|encodings)\..*|outputs\.cloud_messages\..*'
    r'|outputs\.progressive_renderer\..*')
# What the adapter may import of the library, to call it and to name its results.
LIBRARY_NAMES = {
    'Camera', 'Config', 'EstimatedDepth', 'Mapper', 'flatten', 'replace', 'camera.Camera',
    'camera.MAX_COORDINATE', 'camera.T_BODY_OPTICAL',
    'config.KeyframeConfig', 'products.grids.MapGrid', 'settings.flatten', 'settings.replace',
    'settings.setting', 'warm_up.warm_up',
}  # fmt: skip
USE_OPENCV = re.compile(
    r'nerf/(camera|distortion|estimated_depth/depth_network|motion/(depth_surface|epipolar|plane_sweep|sparse_points|stereo_image|structure_from_motion))\.py')
USE_NUMBA = re.compile(r'nerf/backends/cpu/(threads|kernels/\w+)\.py')
USE_TRITON = re.compile(r'nerf/backends/(cuda|tinycudann)/.*\.py')
USE_DATA = {'ros/playback/sim_robot.py', 'ros/playback/replay.py', 'viewer/comparison.py'}
USE_SCENES = {'fit.py', 'viewer/saved_scene.py'}  # fit is a command of scenes
USE_SESSION = re.compile(r'(ros|session)/.*|scenes/sessions\.py')
OF_CAMERAS = {  # what readers and simulations of images may import of the library
    'angular_velocity.angular_velocity', 'camera.Camera', 'camera.MAX_COORDINATE',
    'camera.T_BODY_OPTICAL', 'constants.MASKED_ALPHA', 'constants.OPAQUE_ALPHA'}
MOST_LINES = 210


def name_of(path):
    return str(path.relative_to(PACKAGE))


def is_type_checking(node):
    """Return whether a node is `if TYPE_CHECKING:`, whose imports are for annotations only."""
    return (isinstance(node, ast.If) and isinstance(node.test, ast.Name)
            and node.test.id == 'TYPE_CHECKING')


def imports(path):
    """Return the dotted names that a file imports when it runs."""
    names, nodes = set(), [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if is_type_checking(node):
            continue
        nodes += ast.iter_child_nodes(node)
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
        assert relative == 'nerf/backends/tinycudann/networks.py'
    if 'triton' in roots:
        assert USE_TRITON.fullmatch(relative)
    if 'cv2' in roots and relative.startswith('nerf/'):
        assert USE_OPENCV.fullmatch(relative)
    if 'numba' in roots:
        assert USE_NUMBA.fullmatch(relative)
    if relative.startswith(('scenes/', 'session/')):
        assert 'torch' not in roots
        assert not {name for name in own(names, 'nerf') if name.startswith('backends')}
    elif not relative.startswith('nerf/'):
        assert 'torch' not in roots
        assert own(names, 'nerf') <= LIBRARY_NAMES | OF_CAMERAS
        assert relative in USE_SCENES or not own(names, 'scenes')
    if own(names, 'session'):
        assert USE_SESSION.fullmatch(relative)
    if relative.startswith('viewer/'):
        assert all(ADAPTER_NAMES.fullmatch(name) for name in own(names, 'ros'))
    elif not relative.startswith('ros/'):
        assert not own(names, 'ros')
    if not relative.startswith(('ros/', 'viewer/node_')):
        assert not {root for root in roots if root in ROS or root.endswith('_msgs')}
    if relative.startswith(('data/', 'simulation/')):
        assert own(names, 'nerf') <= OF_CAMERAS
    elif relative not in USE_DATA:
        assert not own(names, 'simulation')
        assert not own(names, 'data') or relative.startswith('scenes/')


@pytest.mark.parametrize(('part', 'table'), PARTS)
def test_packages_import_what_the_table_allows(part, table):
    for path in FILES:
        parts = path.relative_to(PACKAGE).parts
        if parts[0] != part or parts == (part, '__init__.py'):
            continue
        package = parts[1].removesuffix('.py')
        used = {name.split('.')[0] for name in own(imports(path), part)} - {package}
        assert used <= table[package], f'{path}: {used - table[package]}'


def test_every_package_is_in_the_table():
    for part, table in PARTS:
        found = {path.stem for path in (PACKAGE / part).iterdir()
                 if path.suffix == '.py' or (path / '__init__.py').exists()}  # fmt: skip
        assert found - {'__init__'} == set(table)


@pytest.mark.parametrize('table', [table for _, table in PARTS])
def test_there_is_no_circle(table):
    order = []
    while len(order) < len(table):
        ready = [name for name, used in table.items() if name not in order and used <= set(order)]
        assert ready, f'a circle among {set(table) - set(order)}'
        order += ready


def test_the_table_is_that_of_the_documentation():
    rows = re.findall(
        r'^\| `(nerf|ros|viewer)/(\w+)` \| (.*?) \|$', ARCHITECTURE.read_text(), re.M)
    documented = {
        (part, package): set(re.findall(r'`(\w+)`', used)) for part, package, used in rows}
    assert documented == {
        (part, package): used for part, table in PARTS
        for package, used in table.items()}


@pytest.mark.parametrize(
    'folder', sorted({path.parent for path in FILES} - {PACKAGE}), ids=name_of)
def test_every_folder_says_what_is_in_it(folder):
    text = ast.get_docstring(ast.parse((folder / '__init__.py').read_text()))
    assert text and 40 < len(text) < 600


def test_no_two_modules_have_one_name():
    # Backends are implementations of one protocol, and have parallel modules.
    names = collections.Counter(
        path.stem for path in FILES if 'backends' not in path.parts and path.stem != '__init__')
    assert not [name for name, count in names.items() if count > 1]


def foreign_writes(path):
    """Yield the assignments to attributes of objects that the writer does not own.

    It owns self, and what it has made itself in the same function: a message, say.
    """
    tree = ast.parse(path.read_text())
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        made = {'self', 'cls', 'ctx'}  # ctx: of an autograd function, which is written in forward
        nodes = list(ast.walk(function))
        for node in nodes:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                made |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        for node in nodes:
            targets = getattr(node, 'targets', None) or [getattr(node, 'target', None)]
            if not isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
                continue
            for target in targets:
                for each in getattr(target, 'elts', [target]):
                    if not isinstance(each, ast.Attribute):
                        continue
                    owner = each.value
                    depth = 0
                    while isinstance(owner, (ast.Attribute, ast.Subscript)):
                        owner, depth = owner.value, depth + 1
                    name = owner.id if isinstance(owner, ast.Name) else ''
                    if name not in made or (name == 'self' and depth):
                        yield f'{name_of(path)}:{node.lineno}: {ast.unparse(each)}'


# Fields of ROS messages and responses that a function is handed to fill in, what PyTorch keeps in
# its own objects, and handles of viser, which are changed by assignment.
FOREIGN = re.compile(
    r': (response\.(success|message|map.*)|(position|orientation|pose|transform)\..*'
    r'|matrix\.data|params\.grad|network\.loss_scale|self\._network\.params\.grad)$'
    r'|^viewer/\S+: .*\.(content|data|fov|image|label|look_at|position|up_direction|value|visible'
    r'|on_slabs|wxyz|frustum|moved|sharp|shown_at|took|headers\[.*\])$')


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_nobody_writes_the_attributes_of_another(path):
    assert not [text for text in foreign_writes(path) if not FOREIGN.search(text)]


def test_foreign_writes_are_found(tmp_path):
    source = tmp_path / 'module.py'
    source.write_text(
        'class A:\n'
        '    def f(self, other):\n'
        '        self.x = 1\n'
        '        other.x = 2\n'
        '        self.other.x = 3\n'
        '        made = A()\n'
        '        made.x, other.y = 4, 5\n')

    class Path(type(source)):
        def relative_to(self, *_):
            return self.name

    found = list(foreign_writes(Path(source)))
    assert [text.split(': ')[1] for text in found] == ['other.x', 'self.other.x', 'other.y']


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
