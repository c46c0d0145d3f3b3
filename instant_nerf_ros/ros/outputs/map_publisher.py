"""The map as planners take it: whole, in patches, and as probabilities."""
import dataclasses
import time

import numpy as np
from map_msgs.msg import OccupancyGridUpdate
from nav_msgs.msg import OccupancyGrid

from instant_nerf_ros.ros.conversions import occupancy_grid_message, occupancy_patch_message
from instant_nerf_ros.ros.qos import LATCHED, RELIABLE

LARGEST_PATCH = 0.25  # of the map; more is sent as a whole
LONGEST_PATCHING = 10.0  # s, then a changed map is sent as a whole: it is what latecomers get


class MapPublisher:
    """Publishes a MapGrid on map, map_updates and ~/map_probability, where it has changed.

    Patches take the place of the whole map only if all who get the map get the patches too.
    """

    def __init__(self, publisher, map_frame, logger, clock=time.monotonic):
        """Create the topics with publisher(type, topic, qos); clock() is in seconds."""
        self._map = publisher(OccupancyGrid, 'map', LATCHED)
        self._updates = publisher(OccupancyGridUpdate, 'map_updates', RELIABLE)
        self._probability = publisher(OccupancyGrid, '~/map_probability', LATCHED)
        self._map_frame, self._logger, self._clock = map_frame, logger, clock
        self._known = None  # the MapGrid that subscribers have, from the whole map and patches
        self._latched = None  # the one that was published as a whole
        self._latched_at, self._latched_to = 0.0, 0  # when, and to how many
        self._probabilities = self._floor = None  # published, logged
        self._anew = False  # whether the map has to be published though it is known

    def publish(self, grid, stamp_ns):
        """Publish what is new in a MapGrid."""
        self._log_floor(grid)
        self._publish_probabilities(grid, stamp_ns)
        patch = self._patch(grid)
        if patch is None or self._whole_is_due(grid, patch):
            self._publish_whole(grid, stamp_ns)
        elif grid.cells[patch].size:
            self._updates.publish(
                occupancy_patch_message(grid.cells, patch, stamp_ns, self._map_frame))
            self._known = grid

    def publish_nothing_known(self, stamp_ns):
        """Publish that all is unknown, where a map was published: nobody drives by an old one."""
        if self._known is None:
            return
        unknown = np.full_like(self._known.cells, -1)
        self._publish_whole(dataclasses.replace(self._known, cells=unknown), stamp_ns)
        if self._probabilities is not None:
            self._probability.publish(
                occupancy_grid_message(self._known, stamp_ns, self._map_frame))
            self._probabilities = unknown

    def begin_anew(self):
        """Publish all of it the next time: what was sent as the node was deactivated is lost."""
        self._anew = True

    def floor(self):
        """Return the height of the floor [m] in words."""
        height, found = self._floor or (0.0, False)
        return f'{height:.2f}' if found else 'not found'

    def _publish_whole(self, grid, stamp_ns):
        self._latched_at = self._clock()
        self._latched_to = self._map.get_subscription_count()
        self._map.publish(occupancy_grid_message(grid, stamp_ns, self._map_frame))
        self._known = self._latched = grid
        self._anew = False

    def _patch(self, grid):
        """Return the slices of the cells that are new; None if the grid is not where it was."""
        known = self._known
        if known is None or grid.cells.shape != known.cells.shape or not np.array_equal(
                grid.origin, known.origin):
            return None
        rows, columns = np.nonzero(grid.cells != known.cells)
        if not len(rows):
            return slice(0), slice(0)
        return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)

    def _whole_is_due(self, grid, patch):
        changed = grid.cells[patch].size
        if self._anew:
            return True
        if not changed and np.array_equal(grid.cells, self._latched.cells):
            return False
        maps, updates = (
            publisher.get_subscription_count() for publisher in (self._map, self._updates))
        return (
            updates == 0 or updates < maps or maps > self._latched_to
            or changed > LARGEST_PATCH * grid.cells.size
            or self._clock() - self._latched_at > LONGEST_PATCHING)

    def _publish_probabilities(self, grid, stamp_ns):
        if self._probability.get_subscription_count() and (self._anew or not np.array_equal(
                grid.probabilities, self._probabilities)):
            self._probability.publish(occupancy_grid_message(
                dataclasses.replace(grid, cells=grid.probabilities), stamp_ns, self._map_frame))
            self._probabilities = grid.probabilities

    def _log_floor(self, grid):
        floor = round(grid.floor, 3), grid.floor_found
        if floor == self._floor:
            return
        self._floor = floor
        if grid.floor_found:
            self._logger.info(f'the floor is at z = {grid.floor:.2f} m')
        else:
            self._logger.warning(
                'no floor is seen yet: heights are measured from z = 0 of the map frame')
