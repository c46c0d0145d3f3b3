"""A mapper_node that trains, or, when told to rest, only takes images: what is left is intake."""
import sys

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.ros import mapper_node

if __name__ == '__main__':
    arguments = ['--ros-args', '-p', 'keyframes_rate:=0.0']
    if sys.argv[1] == 'resting':
        Mapper.settled = property(lambda self: True)
        arguments += ['-p', 'map_rate:=0.0']
    sys.exit(mapper_node.main(arguments))
