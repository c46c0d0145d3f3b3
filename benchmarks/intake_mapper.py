"""A mapper_node that only receives images, or integrates them into the map too, or trains as well.

Usage: intake_mapper.py MODE
"""
import contextlib
import sys
from unittest import mock

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.nerf.occupancy import integration
from instant_nerf_ros.ros import mapper_node

MODES = 'input', 'voting', 'training'  # each includes the ones before


def main(mode: int) -> int:
    """Run the node; return its exit status."""
    arguments = ['--ros-args', '-p', 'keyframes_rate:=0.0']
    with contextlib.ExitStack() as stack:
        if mode < MODES.index('training'):
            stack.enter_context(
                mock.patch.object(Mapper, 'converged', property(lambda self: True)))
            arguments += ['-p', 'map_rate:=0.0']
        if mode < MODES.index('voting'):
            stack.enter_context(
                mock.patch.object(integration, 'integrate_depth', lambda *_: None))
        return mapper_node.main(arguments)


if __name__ == '__main__':
    sys.exit(main(MODES.index(sys.argv[1])))
