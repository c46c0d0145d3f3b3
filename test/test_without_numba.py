"""Without Numba the library and the node work on the reference backend."""
import subprocess
import sys

import pytest

BLOCK = 'import sys\nsys.modules.update(numba=None, llvmlite=None)\n'
SCENE = BLOCK + """
sys.path.insert(0, sys.argv[1])
import numpy as np
from scenes import CAMERA, poses, view
from instant_nerf_ros.nerf import Config, Mapper, replace

config = replace(Config(), {
    'field.levels': 2, 'field.log2_table': 10, 'field.hidden': 16, 'occupancy.voxel_size': 0.2,
    'occupancy.length': 6.0, 'occupancy.width': 6.0, 'occupancy.height': 4.0,
    'sampling.samples_per_step': 1024, 'keyframes.budget_mb': 16})
mapper = Mapper(config)
assert mapper.backend_name == 'reference'
for T_world_camera in poses(12):
    image, depth = view(CAMERA, T_world_camera)
    # Some without depth, which need alignment, stereo and rendered votes.
    mapper.add(image, CAMERA, T_world_camera, None if mapper.keyframe_count % 2 else depth)
losses = [mapper.step()['loss'] for _ in range(60)]
assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
assert {-1, 0, 100} <= set(np.unique(mapper.map().cells).tolist())
assert mapper.render(CAMERA, poses(12)[3]).color.any()
mapper.save(sys.argv[2])
assert Mapper.load(sys.argv[2]).keyframe_count == mapper.keyframe_count
assert not [name for name in sys.modules if name.startswith('numba.')]
"""


def test_the_library_trains_a_scene(request, tmp_path):
    subprocess.run(
        [sys.executable, '-c', SCENE, str(request.path.parent), str(tmp_path / 'map')],
        check=True, timeout=120)


@pytest.mark.ros
def test_the_node_publishes_a_map():
    from nav_msgs.msg import OccupancyGrid
    from ros_helpers import Robot, drive_until, mapper

    from instant_nerf_ros.ros.qos import LATCHED

    robot = Robot()
    try:
        with mapper(name='without_numba', without=['numba', 'llvmlite']) as process:
            maps = robot.collect(OccupancyGrid, 'without_numba/map', LATCHED)
            robot.wait_for_listener(60.0)
            drive_until(
                robot, lambda: any({0, 100} <= set(grid.data) for grid in maps), process.text,
                timeout=60.0)
            process.wait_for('the reference backend is in use')
    finally:
        robot.close()
