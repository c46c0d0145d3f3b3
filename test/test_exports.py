"""Exports: independent readers find in the files what the mapper knows."""
import gzip
import json
import re
import struct

import cv2
import numpy as np
import pytest
from scenes import BALL, CAMERA, HIGH, LOW, RADIUS, paint, poses, view
from scipy.spatial.transform import Rotation

from instant_nerf_ros.nerf import Camera, Config, Mapper, replace
from instant_nerf_ros.scenes.exports import colmap_model, gaussian_files, maps, meshes
from instant_nerf_ros.scenes.exports.gaussians import SH_C0, Gaussians

CONFIG = replace(Config(), {
    'device': 'cpu', 'field.levels': 6, 'field.finest_cell': 0.1, 'field.log2_table': 14,
    'occupancy.voxel_size': 0.1, 'occupancy.length': 6.0, 'occupancy.width': 6.0,
    'occupancy.height': 4.0, 'sampling.samples_per_step': 4096, 'sampling.min_step': 0.04,
    'sampling.near': 0.1, 'keyframes.budget_mb': 16, 'keyframes.held_out_every': 0,
})  # fmt: skip
UP = {'y_down': [0, -1, 0], 'y_up': [0, 1, 0], 'world': [0, 0, 1]}  # of the world, in a file


@pytest.fixture(scope='module')
def mapper():
    """Return a mapper of the room."""
    mapper = Mapper(CONFIG)
    for pose in poses(24):
        image, depth = view(CAMERA, pose)
        mapper.add(image, CAMERA, pose, depth)
    for _ in range(150):
        mapper.step()
    return mapper


@pytest.fixture(scope='module')
def cloud():
    """Return 500 different Gaussians."""
    random = np.random.default_rng(1)
    return Gaussians(
        random.uniform(-5, 5, (500, 3)), Rotation.random(500, random_state=2).as_quat(),
        np.exp(random.uniform(-7, -2, (500, 3))), random.uniform(0, 1, (500, 3)),
        random.uniform(0.02, 0.98, 500))


def covariances(quaternions, scales):
    """Return the covariances (N, 3, 3) of Gaussians, which do not depend on signs of axes."""
    factors = Rotation.from_quat(quaternions).as_matrix() * scales[:, None]
    return factors @ factors.transpose(0, 2, 1)


def turn_of(axes):
    """Return the rotation (3, 3) to axes of a file, in which x stays and z turns to UP."""
    up = np.array(UP[axes], float)
    right = np.array([1.0, 0, 0])
    return np.stack([right, np.cross(up, right), up], axis=-1)


def read_gaussian_ply(path):
    """Return the columns of the .ply by name, as the reference implementation names them."""
    header, body = path.read_bytes().split(b'end_header\n', 1)
    lines = header.decode().splitlines()
    assert lines[:2] == ['ply', 'format binary_little_endian 1.0']
    [count] = re.findall(r'element vertex (\d+)', header.decode())
    names = re.findall(r'property float (\w+)', header.decode())
    assert sum(line.startswith('property') for line in lines) == len(names)
    table = np.frombuffer(body, '<f4').reshape(int(count), len(names))
    return {name: table[:, k] for k, name in enumerate(names)}


def columns(table, *names):
    return np.stack([table[name] for name in names], axis=-1).astype(float)


@pytest.mark.parametrize('axes', list(UP))
def test_a_ply_holds_the_gaussians_as_the_reference_implementation_does(tmp_path, cloud, axes):
    gaussian_files.write_ply(tmp_path / 'a.ply', cloud, axes)
    table, turn = read_gaussian_ply(tmp_path / 'a.ply'), turn_of(axes)
    assert np.allclose(columns(table, 'x', 'y', 'z'), cloud.positions @ turn.T, atol=1e-5)
    colors = columns(table, 'f_dc_0', 'f_dc_1', 'f_dc_2') * SH_C0 + 0.5
    assert np.allclose(colors, cloud.colors, atol=1e-6)
    assert np.allclose(1 / (1 + np.exp(-table['opacity'])), cloud.opacities, atol=1e-6)
    quaternions = columns(table, 'rot_1', 'rot_2', 'rot_3', 'rot_0')
    scales = np.exp(columns(table, 'scale_0', 'scale_1', 'scale_2'))
    expected = turn @ covariances(cloud.rotations, cloud.scales) @ turn.T
    assert np.allclose(covariances(quaternions, scales), expected, atol=1e-7)


@pytest.mark.parametrize('axes', list(UP))
def test_an_spz_holds_the_gaussians_within_its_resolution(tmp_path, cloud, axes):
    gaussian_files.write_spz(tmp_path / 'a.spz', cloud, axes)
    data, turn = gzip.decompress((tmp_path / 'a.spz').read_bytes()), turn_of(axes)
    magic, version, count, degree, fraction, _, _ = struct.unpack('<4sIIBBBB', data[:16])
    assert (magic, version, count, degree) == (b'NGSP', 3, 500, 0)
    sizes = [9 * count, count, 3 * count, 3 * count, 4 * count]
    parts = np.split(np.frombuffer(data[16:], np.uint8), np.cumsum(sizes))
    assert not len(parts.pop())
    low = parts[0].reshape(count, 3, 3).astype(np.int32)
    fixed = low[..., 0] | low[..., 1] << 8 | low[..., 2] << 16
    positions = np.where(fixed >= 2**23, fixed - 2**24, fixed) / 2**fraction
    assert np.abs(positions - cloud.positions @ turn.T).max() < 0.6 / 2**fraction
    assert np.abs(parts[1] / 255 - cloud.opacities).max() < 0.6 / 255
    coefficients = (parts[2].reshape(count, 3) / 255 - 0.5) / 0.15
    assert np.abs(coefficients * SH_C0 + 0.5 - cloud.colors).max() < 0.6 / 255 * SH_C0 / 0.15
    scales = np.exp(parts[3].reshape(count, 3) / 16 - 10.0)
    assert np.abs(np.log(scales / cloud.scales)).max() < 0.6 / 16
    packed = parts[4].copy().view('<u4')
    largest, quaternions = packed >> 30, np.zeros((count, 4))
    for n in range(count):  # the three smaller components, the last one in the lowest bits
        rest = int(packed[n])
        for k in (k for k in (3, 2, 1, 0) if k != largest[n]):
            value = (rest & 511) / 511 * np.sqrt(0.5)
            quaternions[n, k] = -value if rest >> 9 & 1 else value
            rest >>= 10
        quaternions[n, largest[n]] = np.sqrt(max(0, 1 - (quaternions[n] ** 2).sum()))
    expected = Rotation.from_matrix(turn) * Rotation.from_quat(cloud.rotations)
    assert (Rotation.from_quat(quaternions).inv() * expected).magnitude().max() < 0.01


def test_a_glb_holds_the_gaussians_as_khr_gaussian_splatting(tmp_path, cloud):
    moved = Gaussians(cloud.positions + [4.5e5, 5.2e6, 300], cloud.rotations, cloud.scales,
                      cloud.colors, cloud.opacities)
    gaussian_files.write_glb(tmp_path / 'a.glb', moved)
    gltf, arrays = read_glb(tmp_path / 'a.glb')
    [primitive] = gltf['meshes'][0]['primitives']
    assert primitive['mode'] == 0 and gltf['extensionsUsed'] == ['KHR_gaussian_splatting']
    assert primitive['extensions']['KHR_gaussian_splatting'] == {
        'kernel': 'ellipse', 'colorSpace': 'srgb_rec709_display', 'projection': 'perspective',
        'sortingMethod': 'cameraDistance'}
    parts = {name: arrays[index] for name, index in primitive['attributes'].items()}
    name = 'KHR_gaussian_splatting:{}'.format
    origin = np.array(gltf['nodes'][1]['translation'])
    assert np.allclose(parts['POSITION'] + origin, moved.positions, rtol=0, atol=1e-6)
    assert np.allclose(covariances(parts[name('ROTATION')], parts[name('SCALE')].astype(float)),
                       covariances(cloud.rotations, cloud.scales), atol=1e-7)
    assert np.allclose(parts[name('OPACITY')][:, 0], cloud.opacities, atol=1e-6)
    assert np.allclose(parts[name('SH_DEGREE_0_COEF_0')] * SH_C0 + 0.5, cloud.colors, atol=1e-6)
    assert np.abs(parts['COLOR_0'] / 255 - np.column_stack(
        [cloud.colors, cloud.opacities])).max() < 0.6 / 255
    upright = Rotation.from_quat(gltf['nodes'][0]['rotation']).apply([0, 0, 1])
    assert np.allclose(upright, [0, 1, 0])


def read_glb(path):
    """Return the JSON of a GLB and its accessors as arrays (N, C), by the specification."""
    data = path.read_bytes()
    magic, version, length = struct.unpack('<4sII', data[:12])
    assert (magic, version, length) == (b'glTF', 2, len(data))
    size, kind = struct.unpack('<I4s', data[12:20])
    assert kind == b'JSON' and size % 4 == 0
    gltf = json.loads(data[20 : 20 + size])
    body_size, kind = struct.unpack('<I4s', data[20 + size : 28 + size])
    assert kind == b'BIN\0' and body_size == gltf['buffers'][0]['byteLength']
    body, arrays = data[28 + size :], []
    kinds = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
    for accessor in gltf['accessors']:
        part = gltf['bufferViews'][accessor['bufferView']]
        assert part['byteOffset'] % 4 == 0
        array = np.frombuffer(body, np.uint8, part['byteLength'], part['byteOffset'])
        arrays.append(array.view(kinds[accessor['componentType']]).reshape(accessor['count'], -1))
    return gltf, arrays


def test_gaussians_that_float32_cannot_hold_are_refused(tmp_path, cloud):
    far = Gaussians(cloud.positions + [4.5e5, 0, 0], cloud.rotations, cloud.scales, cloud.colors,
                    cloud.opacities)
    for write in (gaussian_files.write_ply, gaussian_files.write_spz):
        with pytest.raises(ValueError, match='export a GLB'):
            write(tmp_path / 'a', far)
        with pytest.raises(ValueError, match='y_down'):
            write(tmp_path / 'a', cloud, 'sideways')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('suffix', ['.ply', '.glb'])
def test_trimesh_reads_the_mesh_upright_and_colored(tmp_path, mapper, suffix):
    trimesh = pytest.importorskip('trimesh')
    path = tmp_path / f'mesh{suffix}'
    meshes.write_mesh(mapper, path)
    read = trimesh.load(path, force='mesh')
    positions = np.asarray(read.vertices)
    if suffix == '.glb':  # y is up there
        positions = positions[:, [0, 2, 1]] * [1, -1, 1]
    assert len(read.faces) > 1000
    walls = np.minimum(np.abs(positions - LOW), np.abs(positions - HIGH)).min(1)
    on_floor = np.abs(positions[:, 2] - LOW[2]) < 0.05
    assert np.median(walls) < 0.06 and on_floor.sum() > 50
    assert (positions > LOW - 0.2).all() and (positions < HIGH + 0.2).all()
    if suffix == '.glb':  # trimesh drops colors of vertices that have a material, too
        gltf, arrays = read_glb(path)
        linear = arrays[gltf['meshes'][0]['primitives'][0]['attributes']['COLOR_0']][:, :3] / 65535
        colors = np.where(
            linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    else:
        colors = np.asarray(read.visual.vertex_colors)[:, :3] / 255
    on_wall = (walls < 0.02) & (np.linalg.norm(positions - BALL, axis=1) > 2 * RADIUS)
    assert np.abs(colors - paint(positions))[on_wall].mean() < 0.12


def test_vertex_colors_of_glb_are_linear():
    colors = meshes.linear(np.array([[0, 128, 255]], np.uint8))
    assert colors.tolist() == [[0, round(65535 * ((128 / 255 + 0.055) / 1.055) ** 2.4), 65535,
                                65535]]


def test_points_are_the_occupied_voxels(tmp_path, mapper):
    trimesh = pytest.importorskip('trimesh')
    positions, colors = mapper.points()
    meshes.write_points(mapper, tmp_path / 'points.ply')
    read = trimesh.load(tmp_path / 'points.ply')
    assert np.allclose(read.vertices, positions, atol=1e-5)
    assert (np.asarray(read.colors)[:, :3] == colors).all()
    meshes.write_points(mapper, tmp_path / 'points.glb')
    gltf, arrays = read_glb(tmp_path / 'points.glb')
    assert np.allclose(arrays[0] + gltf['nodes'][1]['translation'], positions, atol=1e-5)


def test_colmap_reads_cameras_poses_and_points(tmp_path, mapper):
    pycolmap = pytest.importorskip('pycolmap')
    names = [f'walk/{k}.png' for k in range(mapper.keyframe_count)]
    colmap_model.write_colmap(mapper, tmp_path / 'model', names)
    model = pycolmap.Reconstruction(str(tmp_path / 'model' / 'sparse' / '0'))
    assert sorted(image.name for image in model.images.values()) == sorted(names)
    local = np.array([[0.3, -0.2, 1.5], [0.0, 0.0, 2.0]])
    for image in model.images.values():
        k = names.index(image.name)
        pose = mapper.keyframe_poses()[k]
        world = local @ pose[:3, :3].T + pose[:3, 3]
        back = image.cam_from_world()
        back = np.asarray((back() if callable(back) else back).matrix())
        assert np.allclose(world @ back[:, :3].T + back[:, 3], local)
        # A center of a pixel is at integers here, and at halves there.
        pixels = np.stack([image.project_point(point) for point in world])
        assert np.allclose(pixels - 0.5, CAMERA.project(local), atol=1e-4)
    points = np.stack([point.xyz for point in model.points3D.values()])
    expected = mapper.points()[0]
    assert np.allclose(np.sort(points, axis=0), np.sort(expected, axis=0))
    stored = cv2.imread(str(tmp_path / 'model' / 'images' / names[3]))[..., ::-1]
    assert (stored == mapper.keyframes.image(3)[1]).all()


@pytest.mark.parametrize(('model', 'coefficients'), [
    ('none', ()), ('plumb_bob', (0.1, -0.05, 0.002, -0.001, 0.01)),
    ('plumb_bob', (0.1, -0.05, 0.002, -0.001)),
    ('rational_polynomial', (0.1, -0.05, 0.002, -0.001, 0.01, 0.02, 0.003, 0.001)),
    ('equidistant', (0.05, -0.01, 0.002, 0.0005))])
def test_colmap_projects_like_the_camera(model, coefficients):
    pycolmap = pytest.importorskip('pycolmap')
    camera = Camera(64, 48, 50.0, 52.0, 30.0, 22.0, model, coefficients)
    _, name, width, height, *params = colmap_model._camera(1, camera).split()
    there = pycolmap.Camera(
        model=name, width=int(width), height=int(height), params=list(map(float, params)))
    points = np.array([[0.1, 0.2, 1.0], [-0.3, 0.1, 1.2], [0.2, -0.25, 0.9]])
    pixels = np.stack([there.img_from_cam(point) for point in points])
    assert np.allclose(pixels - 0.5, camera.project(points), atol=1e-4)


def test_cameras_and_names_that_colmap_cannot_have_are_refused(tmp_path, mapper):
    prism = Camera(64, 48, 50.0, 50.0, 31.5, 23.5, 'rational_polynomial', (0.1,) * 12)
    with pytest.raises(ValueError, match='rectify'):
        colmap_model._camera(1, prism)
    count = mapper.keyframe_count
    others = [f'{k}.png' for k in range(1, count)]
    for names in (['a.png'], ['a.png'] * count, ['../a.png', *others]):
        with pytest.raises(ValueError):
            colmap_model.write_colmap(mapper, tmp_path / 'model', names)
    assert not list(tmp_path.iterdir())


def test_map_server_and_octomap_have_their_files(tmp_path, mapper):
    pyoctomap = pytest.importorskip('pyoctomap')
    maps.write_map(mapper, tmp_path / 'map')
    grid = mapper.map()
    image = cv2.imread(str(tmp_path / 'map' / 'map.pgm'), cv2.IMREAD_UNCHANGED)
    assert ((image == 0) == np.flipud(grid.cells == 100)).all()
    maps.write_octomap(mapper, tmp_path / 'map.bt')
    tree = pyoctomap.OcTree(0.1)
    assert tree.readBinary(str(tmp_path / 'map.bt'))
    assert tree.getResolution() == mapper.octree().resolution
    assert tree.size() == mapper.octree().nodes


def test_nothing_is_overwritten_unasked(tmp_path, mapper, cloud):
    def write_all(folder, **options):
        gaussian_files.write_ply(folder / 'a.ply', cloud, **options)
        gaussian_files.write_spz(folder / 'a.spz', cloud, **options)
        gaussian_files.write_glb(folder / 'a.glb', cloud, **options)
        meshes.write_points(mapper, folder / 'b.ply', **options)
        maps.write_octomap(mapper, folder / 'c.bt', **options)
        colmap_model.write_colmap(mapper, folder / 'd', **options)
        maps.write_map(mapper, folder / 'e', **options)

    write_all(tmp_path)
    files = [path for path in tmp_path.rglob('*') if path.is_file()]
    for path in files:
        path.write_bytes(b'precious')
    for write, name in (
            (lambda path: gaussian_files.write_ply(path, cloud), 'a.ply'),
            (lambda path: gaussian_files.write_spz(path, cloud), 'a.spz'),
            (lambda path: gaussian_files.write_glb(path, cloud), 'a.glb'),
            (lambda path: meshes.write_points(mapper, path), 'b.ply'),
            (lambda path: meshes.write_mesh(mapper, path), 'b.ply'),
            (lambda path: maps.write_octomap(mapper, path), 'c.bt'),
            (lambda path: colmap_model.write_colmap(mapper, path), 'd'),
            (lambda path: maps.write_map(mapper, path), 'e')):
        with pytest.raises(FileExistsError, match='exists already'):
            write(tmp_path / name)
    assert all(path.read_bytes() == b'precious' for path in files)
    write_all(tmp_path, overwrite=True)
    assert not any(path.read_bytes() == b'precious' for path in files)


def test_a_failure_leaves_nothing_behind(tmp_path):
    empty = Mapper(CONFIG)
    image, _ = view(CAMERA, poses(2)[0])
    empty.add(image, CAMERA, poses(2)[0])
    for write in (meshes.write_mesh, meshes.write_points):
        with pytest.raises(ValueError, match='train longer'):
            write(empty, tmp_path / 'a.ply')
        with pytest.raises(ValueError, match=r'\.ply or \.glb'):
            write(empty, tmp_path / 'a.obj')
    assert not list(tmp_path.iterdir())
