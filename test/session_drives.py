"""A drive through the painted room that is recorded in a session, and what must come back."""
import numpy as np
from scenes import CAMERA, poses, view

from instant_nerf_ros.nerf import Camera, Config, Mapper, replace
from instant_nerf_ros.nerf.occupancy.blocks import VOTES, to_blocks
from instant_nerf_ros.session.recorder import Recorder
from instant_nerf_ros.session.session_source import SessionConfig
from instant_nerf_ros.simulation.flat import Flat
from instant_nerf_ros.simulation.tour import Tour

SECOND = 10**9
CONFIG = replace(Config(), {
    'device': 'cpu', 'field.levels': 4, 'field.finest_cell': 0.1, 'field.log2_table': 10,
    'field.hidden': 16, 'occupancy.voxel_size': 0.1, 'occupancy.length': 6.0,
    'occupancy.width': 6.0, 'occupancy.height': 4.0, 'sampling.samples_per_step': 1024,
    'sampling.min_step': 0.04, 'sampling.near': 0.1, 'keyframes.budget_mb': 16,
    'keyframes.held_out_every': 6,
})  # fmt: skip
POSES = poses(48)
FLAT_CAMERA = Camera(80, 60, 57.0, 57.0, 39.5, 29.5)
VIEWS = [view(CAMERA, pose) for pose in POSES]


def recorder(folder, **settings):
    """Return a Recorder of a folder, whose images are lossless."""
    return Recorder(SessionConfig(str(folder), **{'images': 'lossless', **settings}))


def add(mapper, recording, k, T_shift=None):
    """Add view k to a mapper and its recording; return the id. T_shift (4, 4) moves its pose."""
    image, depth = VIEWS[k % len(VIEWS)]
    pose = POSES[k % len(VIEWS)]
    pose = pose if T_shift is None else T_shift @ pose
    image_id = mapper.add(image, CAMERA, pose, depth)
    if image_id is not None and recording is not None:
        recording.add_image(
            image_id, k * SECOND, image, CAMERA, pose, depth, mapper.is_held_out(image_id))
    return image_id


def drive(mapper, recording, views, steps=0):
    """Add views to a mapper and its recording, with so many training steps after each."""
    for k in views:
        add(mapper, recording, k)
        for _ in range(steps):
            mapper.step()


def recorded(folder, views=range(24), steps=0, config=CONFIG, **settings):
    """Return a mapper after a drive that was recorded in a folder, and closed."""
    mapper, recording = Mapper(config), recorder(folder, **settings)
    recording.begin(mapper)
    drive(mapper, recording, views, steps)
    assert not recording.close(mapper)
    return mapper


def flat_views(count=160):
    """Return (pose, image, depth) of FLAT_CAMERA along a lap through the simulated flat."""
    scene, tour = Flat(), Tour()
    lap = [tour.T_world_camera(time) for time in np.linspace(0, tour.duration, count)]
    return [(pose, *scene.render(FLAT_CAMERA, pose)) for pose in lap]


def record_views(folder, views, config=CONFIG, stamp=0, camera=CAMERA, steps=0):
    """Return a mapper after views (pose, image, depth), recorded in a folder, one each second.

    stamp: of the first [s]; steps of training after each.
    """
    mapper, recording = Mapper(config), recorder(folder)
    recording.begin(mapper)
    for k, (pose, image, depth) in enumerate(views):
        image_id = mapper.add(image, camera, pose, depth)
        if image_id is not None:
            recording.add_image(
                image_id, (stamp + k) * SECOND, image, camera, pose, depth,
                mapper.is_held_out(image_id))
        for _ in range(steps):
            mapper.step()
    assert not recording.close(mapper)
    return mapper


def begin(recording, mapper):
    """Begin to record a mapper; return the sentences that a person should know."""
    result = recording.begin(mapper)
    return result.sentences if result else []


def resumed(folder, config=CONFIG, **settings):
    """Return a mapper that continues the session of a folder, its recording, and sentences."""
    mapper, recording = Mapper(config), recorder(folder, resume=True, **settings)
    return mapper, recording, begin(recording, mapper)


def drift(share):
    """Return T_drifted_true (4, 4) after a share of a drive: 0.3 m and 5 degrees at its end."""
    T_drifted_true, angle = np.eye(4), np.radians(5) * share
    T_drifted_true[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    T_drifted_true[0, 3] = 0.3 * share
    return T_drifted_true


def iou(mapper, other):
    """Return the intersection over union of the occupied voxels of two mappers."""
    mine, others = ({*map(tuple, np.round(each.points()[0], 3).tolist())}
                    for each in (mapper, other))
    return len(mine & others) / len(mine | others)


def votes(mapper):
    """Return all votes of a mapper: {block: content}."""
    return {tuple(place): block.tobytes()
            for place, block in zip(*to_blocks(mapper.occupancy, VOTES))}


def assert_same_inputs(actual, expected):
    """Check that two mappers have the same keyframes and held-out images, under the same ids."""
    np.testing.assert_array_equal(actual.keyframes.ids, expected.keyframes.ids)
    np.testing.assert_array_equal(actual.keyframe_poses(), expected.keyframe_poses())
    for k in range(expected.keyframe_count):
        for mine, other in zip(actual.keyframes.image(k), expected.keyframes.image(k)):
            np.testing.assert_array_equal(mine, other)
    mine, other = (mapper.measurements.held_out.rays() for mapper in (actual, expected))
    assert (mine is None) == (other is None)
    if other is not None:
        np.testing.assert_array_equal(mine.pixels, other.pixels)
        np.testing.assert_allclose(mine.directions, other.directions, atol=1e-6)
