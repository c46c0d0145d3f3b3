"""An OctoMap of clouds of measured points; a script for an environment with OctoMap."""
import pickle
import sys
import time

import numpy as np
import octomap

# The defaults of octomap_server.
HIT, MISS, CLAMP_MIN, CLAMP_MAX = 0.7, 0.4, 0.12, 0.97


def fuse(request):
    """Return the states int8 of a grid (100 occupied, 0 free, -1 unknown) and the seconds.

    request: clouds, a list of positions (3,) and points (N, 3) [m]; origin (3,), the corner of
    voxel [0, 0, 0] [m]; shape of the grid; size of a voxel [m].
    """
    tree = octomap.OcTree(request['size'])
    tree.setProbHit(HIT)
    tree.setProbMiss(MISS)
    tree.setClampingThresMin(CLAMP_MIN)
    tree.setClampingThresMax(CLAMP_MAX)
    origin, shape, size = (request[name] for name in ('origin', 'shape', 'size'))
    begin = time.monotonic()
    for position, points in request['clouds']:
        # The lattice of OctoMap begins at zero.
        tree.insertPointCloud(points - origin, position - origin)
    seconds = time.monotonic() - begin
    centers = (np.indices(shape).reshape(3, -1).T + 0.5) * size
    labels = tree.getLabels(centers).reshape(shape)
    states = np.full(shape, -1, np.int8)
    states[labels == 0], states[labels == 1] = 0, 100
    return states, seconds


if __name__ == '__main__':
    pickle.dump(fuse(pickle.load(sys.stdin.buffer)), sys.stdout.buffer)
