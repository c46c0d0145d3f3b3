"""Paths of a robot on a map, planned by OMPL; a script for an environment with it."""
import pickle
import sys
import time

import numpy as np
from ompl import base, geometric, util

SECONDS = 2.0  # of the processor, to find a path
STEP = 0.01  # m, between the positions of a path that are checked


def plan(request):
    """Return for each pair a path (N, 2) [m], or None if none was found.

    request: fits (nx, ny) bool, where the center of the robot may be; origin (2,), the corner of
    fits[0, 0] [m]; size of its cells [m]; pairs (P, 2, 2), starts and goals [m];
    shorten: the time to shorten a path [s]. Times are those of the processor, so that paths are
    found on a busy machine too.
    """
    util.setLogLevel(util.LOG_NONE)
    util.RNG.setSeed(1)
    fits, size = request['fits'].tolist(), request['size']  # lists are faster, cell by cell
    (x0, y0), (nx, ny) = request['origin'].tolist(), request['fits'].shape
    space = base.RealVectorStateSpace(2)
    bounds = base.RealVectorBounds(2)
    for axis, (low, count) in enumerate(((x0, nx), (y0, ny))):
        bounds.setLow(axis, low)
        bounds.setHigh(axis, low + count * size)
    space.setBounds(bounds)
    setup = geometric.SimpleSetup(space)
    setup.setStateValidityChecker(
        lambda state: fits[min(int((state[0] - x0) / size), nx - 1)][
            min(int((state[1] - y0) / size), ny - 1)])
    information = setup.getSpaceInformation()
    information.setStateValidityCheckingResolution(STEP / space.getMaximumExtent())
    setup.setPlanner(geometric.RRTConnect(information))
    return [_path(setup, space, *pair, request['shorten']) for pair in request['pairs']]


def _path(setup, space, start, goal, shorten):
    """Return the path between two positions, shortened as OMPL does by default."""
    setup.clear()
    ends = space.allocState(), space.allocState()
    for state, position in zip(ends, (start, goal)):
        state[0], state[1] = map(float, position)
    setup.setStartAndGoalStates(*ends)
    setup.solve(_within(SECONDS))
    if not setup.haveExactSolutionPath():
        return None
    setup.simplifySolution(_within(shorten))
    return np.array([[state[0], state[1]] for state in setup.getSolutionPath().getStates()])


def _within(seconds):
    """Return the condition that ends a computation after some time of the processor."""
    end = time.process_time() + seconds
    return base.PlannerTerminationCondition(lambda: time.process_time() >= end)


if __name__ == '__main__':
    pickle.dump(plan(pickle.load(sys.stdin.buffer)), sys.stdout.buffer)
