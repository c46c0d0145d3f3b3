"""Files: they are complete, can be loaded again, and an error leaves the old files unchanged."""
import json
import os
import re
import resource
import shutil
import zipfile

import cv2
import numpy as np
import pytest
from scenes import BALL, CAMERA, HIGH, LOW, RADIUS, paint, poses, view
from scipy.spatial import cKDTree

from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.constants import FREE, OCCUPIED, UNKNOWN
from instant_nerf_ros.nerf.products import exports, folders

CONFIG = replace(Config(), {
    'device': 'cpu', 'field.levels': 6, 'field.finest_cell': 0.1, 'field.log2_table': 14,
    'occupancy.voxel_size': 0.1, 'occupancy.length': 6.0, 'occupancy.width': 6.0,
    'occupancy.height': 4.0, 'sampling.samples_per_step': 4096, 'sampling.min_step': 0.04,
    'sampling.near': 0.1, 'keyframes.budget_mb': 16, 'keyframes.held_out_every': 0,
})  # fmt: skip
ROUND = poses(64)
NAMES = {'map.pgm', 'map.yaml', 'points.ply', 'mesh.ply', 'model.npz'}


@pytest.fixture(scope='module')
def mapper():
    """Return a mapper of the room."""
    mapper = Mapper(CONFIG)
    for pose in ROUND[::2]:
        image, depth = view(CAMERA, pose)
        mapper.add(image, CAMERA, pose, depth)
    for _ in range(150):
        mapper.step()
    return mapper


@pytest.fixture(scope='module')
def saved(mapper, tmp_path_factory):
    """Return the folder of that mapper, which tests do not change."""
    folder = tmp_path_factory.mktemp('maps') / 'room'
    mapper.save(folder)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    """Return a copy of the folder, which tests may change."""
    return shutil.copytree(saved, tmp_path / 'copy')


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read_ply(path):
    """Return vertices and faces of a PLY file of exports, read by its header."""
    header, body = path.read_bytes().split(b'end_header\n', 1)
    kinds = {'float': '<f4', 'double': '<f8', 'uchar': 'u1'}
    fields = [(name, kinds[kind]) for kind, name in re.findall(
        r'property (float|double|uchar) (\w+)', header.decode())]
    counts = dict(re.findall(r'element (\w+) (\d+)', header.decode()))
    vertices = np.frombuffer(body, np.dtype(fields), int(counts['vertex']))
    face = np.dtype([('count', 'u1'), ('corners', '<i4', 3)])
    faces = np.frombuffer(body[vertices.nbytes:], face)
    assert len(faces) == int(counts.get('face', 0))
    return vertices, faces


def positions_of(vertices):
    return np.stack([vertices[axis] for axis in 'xyz'], axis=-1)


def colors_of(vertices):
    return np.stack([vertices[name] for name in ('red', 'green', 'blue')], axis=-1)


def surface_distances(points):
    """Return the distances of points to the nearest wall or to the ball."""
    room = np.minimum(points - LOW, HIGH - points).min(-1)
    return np.abs(np.minimum(room, np.linalg.norm(points - BALL, axis=-1) - RADIUS))


def test_a_loaded_mapper_gives_the_same_views_and_maps(mapper, saved):
    loaded = Mapper.load(saved)
    assert loaded.config == mapper.config and loaded.steps == mapper.steps
    assert loaded.keyframe_count == mapper.keyframe_count
    for pose in ROUND[1::16]:
        actual, expected = loaded.render(CAMERA, pose), mapper.render(CAMERA, pose)
        np.testing.assert_array_equal(actual.color, expected.color)
        np.testing.assert_array_equal(actual.depth, expected.depth)
    np.testing.assert_array_equal(loaded.map().cells, mapper.map().cells)
    np.testing.assert_array_equal(loaded.map().origin, mapper.map().origin)
    np.testing.assert_array_equal(loaded.voxels().states, mapper.voxels().states)
    for actual, expected in zip(loaded.points(), mapper.points()):
        np.testing.assert_array_equal(actual, expected)


def test_a_loaded_mapper_has_the_images_and_continues_training(mapper, saved):
    loaded = Mapper.load(saved)
    store, original = loaded.keyframes, mapper.keyframes
    for k in range(len(original)):
        for actual, expected in zip(store.image(k), original.image(k)):
            np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(store.T_world_camera, original.T_world_camera)
    np.testing.assert_array_equal(store.ray_counts, original.ray_counts)
    np.testing.assert_array_equal(store.exposure.gains, original.exposure.gains)
    np.testing.assert_array_equal(store.exposure.sums, original.exposure.sums)
    assert store.exposure.sums.any(axis=(1, 2)).all()
    assert not loaded.is_new_viewpoint(ROUND[62])
    untrained = Mapper(CONFIG)
    image, depth = view(CAMERA, ROUND[0])
    untrained.add(image, CAMERA, ROUND[0], depth)
    losses = [loaded.step()['loss'] for _ in range(40)]
    assert np.mean(losses[20:]) < 0.1 * untrained.step()['loss']


def test_another_backend_loads_it_too(saved, mapper):
    loaded = Mapper.load(saved, replace(CONFIG, {'device': 'reference'}))
    assert loaded.backend_name == 'reference'
    error = loaded.render(CAMERA, ROUND[1]).color.astype(int) - mapper.render(
        CAMERA, ROUND[1]).color
    assert np.abs(error).mean() < 3


def test_the_folder_has_all_files_and_no_temporary_one_remains(saved):
    assert set(contents(saved)) == NAMES
    assert [path.name for path in saved.parent.iterdir()] == ['room']


def test_the_map_is_correct_when_read_like_nav2(mapper, saved):
    grid = mapper.map()
    image = cv2.imread(str(saved / 'map.pgm'), cv2.IMREAD_UNCHANGED)
    entries = dict(line.split(': ') for line in (saved / 'map.yaml').read_text().splitlines())
    assert entries['image'] == 'map.pgm' and entries['mode'] == 'trinary'
    occupied = 1 - np.flipud(image) / 255  # negate: 0
    assert entries['negate'] == '0'
    cells = np.full(image.shape, -1)
    cells[occupied >= float(entries['occupied_thresh'])] = 100
    cells[occupied <= float(entries['free_thresh'])] = 0
    np.testing.assert_array_equal(cells, grid.cells)
    assert {-1, 0, 100} == set(np.unique(cells))
    assert float(entries['resolution']) == pytest.approx(grid.resolution)
    np.testing.assert_allclose(json.loads(entries['origin']), [*grid.origin, 0.0], atol=1e-5)


def test_points_are_those_of_the_mapper(mapper, saved):
    vertices, _ = read_ply(saved / 'points.ply')
    positions, colors = mapper.points()
    np.testing.assert_array_equal(positions_of(vertices), positions.astype(np.float32))
    np.testing.assert_array_equal(colors_of(vertices), colors)


def test_the_mesh_is_the_surface_of_the_room_in_its_colors(mapper, saved):
    vertices, faces = read_ply(saved / 'mesh.ply')
    assert (faces['count'] == 3).all()
    positions = positions_of(vertices).astype(np.float64)
    corners = positions[faces['corners']]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=-1) / 2
    middles = corners.mean(axis=1)
    near = surface_distances(middles) < 0.1  # the edge of a voxel
    assert areas[near].sum() > 0.9 * areas.sum()
    occupied, _ = mapper.points()
    gaps = [np.abs(positions - point).max(-1).min() for point in occupied[::7]]
    assert np.mean(np.array(gaps) < 0.1) > 0.9
    walls = near & (np.linalg.norm(middles - BALL, axis=-1) > RADIUS + 0.2)
    inward = ((LOW + HIGH) / 2 - middles)[walls]
    assert areas[walls][(inward * normals[walls]).sum(-1) > 0].sum() > 0.9 * areas[walls].sum()
    ball = np.abs(np.linalg.norm(positions - BALL, axis=-1) - RADIUS) < 0.05
    assert np.abs(np.median(colors_of(vertices)[ball], axis=0) - [230, 26, 26]).max() < 50
    near = surface_distances(positions) < 0.1
    errors = np.abs(colors_of(vertices) - paint(positions) * 255)[near].max(axis=-1)
    assert np.median(errors) < 15 and np.quantile(errors, 0.9) < 40
    assert colors_of(vertices).max(axis=-1).min() > 20  # nothing is black in this room


def test_all_backends_give_the_same_mesh(mapper, saved, tmp_path):
    Mapper.load(saved, replace(CONFIG, {'device': 'reference'})).save(tmp_path / 'other')
    (vertices, faces), (others, other_faces) = (
        read_ply(folder / 'mesh.ply') for folder in (saved, tmp_path / 'other'))
    # Densities are rounded: a few edges cross the isovalue for one backend only.
    assert len(other_faces) == pytest.approx(len(faces), rel=0.01)
    gaps, nearest = cKDTree(positions_of(vertices)).query(positions_of(others))
    assert np.quantile(gaps, 0.99) < 2e-3
    differences = np.abs(colors_of(others).astype(int) - colors_of(vertices)[nearest])
    assert np.quantile(differences, 0.99) <= 3


def test_saving_again_replaces_the_old_files(mapper, copy):
    (copy / 'points.ply').write_bytes(b'old')
    mapper.save(copy)
    assert set(contents(copy)) == NAMES
    assert len(contents(copy)['points.ply']) > 1000
    assert [path.name for path in copy.parent.iterdir()] == ['copy']


def test_a_link_to_a_folder_stays_a_link(mapper, copy):
    link = copy.parent / 'link'
    link.symlink_to(copy)
    mapper.save(link)
    assert link.is_symlink() and set(contents(copy)) == NAMES


def test_the_old_files_remain_if_a_file_cannot_be_written_completely(mapper, copy):
    before = contents(copy)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))  # the model is larger
    try:
        with pytest.raises(OSError):
            mapper.save(copy)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == ['copy']


def test_folders_that_cannot_be_exchanged_are_renamed(copy, monkeypatch):
    monkeypatch.setattr(folders.ctypes, 'CDLL', lambda *_, **__: object())
    with folders.atomic_folder(copy, NAMES) as new:
        (new / 'map.pgm').write_bytes(b'new')
    assert contents(copy) == {'map.pgm': b'new'}
    assert [path.name for path in copy.parent.iterdir()] == ['copy']


def test_a_path_where_no_folder_can_be_created_is_an_error(mapper, tmp_path):
    (tmp_path / 'file').write_text('text')
    for folder in (tmp_path / 'file', tmp_path / 'file' / 'map'):
        with pytest.raises(OSError):
            mapper.save(folder)
    assert contents(tmp_path) == {'file': b'text'}


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_without_permission_is_an_error(mapper, copy):
    before = contents(copy)
    copy.parent.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            mapper.save(copy)
    finally:
        copy.parent.chmod(0o755)
    assert contents(copy) == before


def test_a_folder_with_other_files_is_an_error(mapper, copy):
    (copy / 'notes.txt').write_text('text')
    before = contents(copy)
    with pytest.raises(ValueError, match='notes.txt'):
        mapper.save(copy)
    assert contents(copy) == before


def test_before_the_first_image_there_is_nothing_to_save(tmp_path):
    with pytest.raises(RuntimeError, match='add an image first'):
        Mapper(CONFIG).save(tmp_path / 'map')
    assert not list(tmp_path.iterdir())


def test_rescued_keyframes_are_mapped_and_trained_again(mapper, tmp_path, monkeypatch):
    class Broken:
        """Fails at any access."""

        def __getattr__(self, name):
            raise RuntimeError('CUDA error: an illegal memory access was encountered')

    with monkeypatch.context() as patch:
        for part, name in ((mapper.trainer, 'field'),
                           (mapper.trainer, 'optimizer'), (mapper.measurements, 'occupancy')):
            patch.setattr(part, name, Broken())
        mapper.rescue(tmp_path / 'rescued')
    again = Mapper.load(tmp_path / 'rescued')
    assert again.config == mapper.config and again.steps == 0
    assert len(again.keyframes) == len(mapper.keyframes)
    for k in range(len(mapper.keyframes)):
        for actual, expected in zip(again.keyframes.image(k), mapper.keyframes.image(k)):
            assert np.array_equal(actual, expected)
    assert np.array_equal(again.keyframes.T_world_camera, mapper.keyframes.T_world_camera)
    assert np.isfinite(again.step()['loss'])


def rewrite(path, change):
    """Change the arrays of a model by change(arrays)."""
    with np.load(path) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(path, **arrays)


def header(**changes):
    def change(arrays):
        about = json.loads(str(arrays['about']))
        arrays['about'] = np.array(json.dumps({**about, **changes}))
    return change


def not_finite(arrays):
    arrays['field/geometry.hidden'][0, 0] = np.nan


def too_large(arrays):
    arrays['voxels/shape'] = np.array([10**6] * 3)


def no_rotation(arrays):
    arrays['keyframes/3/T_world_camera'] = np.ones((4, 4))


def pickled(arrays):
    arrays['about'] = np.array([{'not': 'text'}], dtype=object)


@pytest.mark.parametrize(('change', 'words'), [
    (lambda arrays: arrays.clear(), 'no instant_nerf_ros model'),
    (pickled, 'pickle'),
    (header(version=99), 'version 99'),
    (header(format='other'), 'other'),
    (header(settings=5), ''),
    (header(cameras=[{'width': -1}]), ''),
    (header(keyframes=10**6), ''),
    (lambda arrays: arrays.pop('field/geometry.table'), 'geometry.table'),
    (lambda arrays: arrays.pop('keyframes/7/image'), 'keyframes/7/image'),
    (lambda arrays: arrays.pop('voxels/hits'), 'hits'),
    (lambda arrays: arrays.update({'voxels/hits': arrays['voxels/hits'][1:]}), 'hits'),
    (not_finite, 'not finite'), (too_large, 'no grid'), (no_rotation, 'rotation'),
])
def test_a_malformed_model_is_an_error(copy, change, words):
    rewrite(copy / 'model.npz', change)
    with pytest.raises(ValueError, match=f'model.npz.*{words}'):
        Mapper.load(copy)


@pytest.mark.parametrize('damage', [
    lambda raw: b'', lambda raw: b'PK', lambda raw: raw[: len(raw) // 2],
    lambda raw: b'GIF89a' + bytes(1000),
    lambda raw: raw[: len(raw) // 3] + b'\xff' * 8 + raw[len(raw) // 3 + 8 :],
], ids=['empty', 'two bytes', 'half', 'an image', 'a few bytes'])
def test_a_damaged_file_is_an_error(copy, damage):
    path = copy / 'model.npz'
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match='is damaged, or no model of instant_nerf_ros'):
        Mapper.load(copy)


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Mapper.load(tmp_path)


@pytest.mark.parametrize('setting', [{'field.levels': 5}, {'occupancy.voxel_size': 0.2}])
def test_settings_that_differ_from_the_file_are_named(saved, setting):
    [name] = setting
    with pytest.raises(ValueError, match=f"'{name}'"):
        Mapper.load(saved, replace(CONFIG, setting))


def test_other_settings_may_differ(saved):
    changed = {'map.max_height': 1.0, 'keyframes.budget_mb': 20}
    loaded = Mapper.load(saved, replace(CONFIG, changed))
    assert loaded.config.map.max_height == 1.0


def test_numpy_reads_the_members(saved):
    with zipfile.ZipFile(saved / 'model.npz') as archive:
        assert archive.testzip() is None
    with np.load(saved / 'model.npz', allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays['keyframes/0/image'], view(CAMERA, ROUND[0])[0])


def test_the_names_in_a_model_never_change(mapper, saved):
    # Or files of earlier versions could not be loaded.
    names = {
        'about', 'field/geometry.table', 'field/geometry.hidden', 'field/geometry.output',
        'field/color.hidden1', 'field/color.hidden2', 'field/color.output', 'voxels/first',
        'voxels/shape', 'voxels/places', 'voxels/low', 'voxels/high', 'voxels/density',
        'voxels/voxels', 'voxels/hits', 'voxels/passes', 'voxels/stamps', 'voxels/colors'}
    for k in range(mapper.keyframe_count):
        names |= {f'keyframes/{k}/{name}' for name in (
            'camera', 'T_world_camera', 'image', 'depth', 'draws', 'exposure')}
    with np.load(saved / 'model.npz') as arrays:
        assert set(arrays.files) == names
        about = json.loads(str(arrays['about']))
    assert set(about) == {
        'format', 'version', 'settings', 'steps', 'counters', 'cameras', 'keyframes', 'learnt',
        'local_frame', 'weighted_votes', 'unit'}
    assert set(about['counters']) == {'rays', 'stride', 'age'}
    assert set(about['cameras'][0]) == {
        'width', 'height', 'fx', 'fy', 'cx', 'cy', 'distortion_model', 'distortion'}


def test_a_model_of_the_version_without_a_local_frame_is_loaded(mapper, copy):
    def without_frame(arrays):
        about = json.loads(str(arrays['about']))
        del about['local_frame'], about['settings']['keyframes.held_out_every']
        arrays['about'] = np.array(json.dumps(about))

    rewrite(copy / 'model.npz', without_frame)
    loaded = Mapper.load(copy)
    np.testing.assert_array_equal(loaded.map().cells, mapper.map().cells)
    np.testing.assert_array_equal(
        loaded.render(CAMERA, ROUND[1]).color, mapper.render(CAMERA, ROUND[1]).color)


def test_a_model_of_the_version_with_one_box_of_voxels_is_loaded(mapper, copy):
    def one_box(arrays):
        header(version=2)(arrays)
        del arrays['voxels/places']
        arrays['voxels/start'] = np.zeros(3, int)
        for name, array in (
                ('voxels', 'density_state'), ('passes', 'misses'), ('stamps', 'last_keyframe'),
                *((each, each) for each in ('density', 'hits', 'colors'))):
            arrays[f'voxels/{name}'] = getattr(mapper.occupancy, array).numpy()

    rewrite(copy / 'model.npz', one_box)
    loaded = Mapper.load(copy)
    np.testing.assert_array_equal(loaded.map().cells, mapper.map().cells)
    np.testing.assert_array_equal(
        loaded.render(CAMERA, ROUND[1]).color, mapper.render(CAMERA, ROUND[1]).color)


def test_voxels_of_the_version_with_equal_votes_keep_their_states(copy):
    votes = {(2, 6): OCCUPIED, (16, 0): OCCUPIED, (0, 2): FREE, (1, 9): FREE, (1, 0): UNKNOWN,
             (2, 7): UNKNOWN, (1, 8): UNKNOWN, (0, 1): UNKNOWN}  # fmt: skip

    def equal_votes(arrays):
        about = json.loads(str(arrays['about']))
        del about['weighted_votes']
        arrays['about'] = np.array(json.dumps(about))
        hits, misses = np.array([*votes]).T
        for name, counts in (('hits', hits), ('passes', misses)):
            arrays[f'voxels/{name}'][:] = 0
            block = arrays[f'voxels/{name}'][len(arrays['voxels/places']) // 2]
            block[8, 8, -len(votes):] = counts

    rewrite(copy / 'model.npz', equal_votes)
    occupancy = Mapper.load(copy).occupancy
    states = occupancy.backend.states(occupancy.hits, occupancy.misses)
    place = (occupancy.hits > 0) | (occupancy.misses > 0)
    first = place.nonzero()[0].tolist()
    column = states[first[0], first[1], first[2] :][: len(votes)].tolist()
    assert column == [*votes.values()]


def test_a_mesh_without_vertices_is_a_valid_file(tmp_path):
    exports.write_ply(tmp_path / 'none.ply', np.empty((0, 3)), np.empty((0, 3)))
    vertices, faces = read_ply(tmp_path / 'none.ply')
    assert len(vertices) == len(faces) == 0


def test_all_rescued_keyframes_are_keyframes_again(tmp_path):
    mapper = Mapper(replace(CONFIG, {'keyframes.held_out_every': 4}))
    for pose in ROUND[:12]:
        image, depth = view(CAMERA, pose)
        mapper.add(image, CAMERA, pose, depth)
    assert mapper.keyframe_count == 9
    mapper.rescue(tmp_path / 'rescued')
    again = Mapper.load(tmp_path / 'rescued')
    np.testing.assert_array_equal(again.keyframe_poses(), mapper.keyframe_poses())
