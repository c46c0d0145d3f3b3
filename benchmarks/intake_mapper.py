"""A mapper_node that only takes images, and lets them vote on the map too, or trains as well."""
import sys

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.nerf.occupancy import integration
from instant_nerf_ros.ros import mapper_node

MODES = 'taking', 'voting', 'training'  # each does more than the one before

if __name__ == '__main__':
    mode = MODES.index(sys.argv[1])
    arguments = ['--ros-args', '-p', 'keyframes_rate:=0.0']
    if mode < MODES.index('training'):
        Mapper.converged = property(lambda self: True)
        arguments += ['-p', 'map_rate:=0.0']
    if mode < MODES.index('voting'):
        integration.integrate_depth = lambda *_: None
    sys.exit(mapper_node.main(arguments))
