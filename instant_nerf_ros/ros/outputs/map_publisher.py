"""MapPublisher: the occupancy grid for planners, as a whole, in patches, and as probabilities."""
import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from map_msgs.msg import OccupancyGridUpdate
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo

from instant_nerf_ros.ros.conversions import occupancy_grid_message, occupancy_patch_message
from instant_nerf_ros.ros.outputs.late_subscribers import LateSubscribers, gids
from instant_nerf_ros.ros.qos import LATCHED, RELIABLE

if TYPE_CHECKING:
    from instant_nerf_ros.nerf.products.grids import MapGrid

MAX_PATCH = 0.25  # of the cells of the map; larger changes are published as a whole map
MAX_PATCH_TIME = 10.0  # s without a whole map while it changes: late subscribers get that one


class MapPublisher:
    """Publishes a MapGrid on map, map_updates and ~/map_probability when it has changed.

    A patch replaces the whole map only while map has subscribers, and the node of each of them
    also subscribes to map_updates.
    """

    def __init__(
        self, create_publisher: Callable[[type, str, QoSProfile], Publisher],
        subscriptions: Callable[[Publisher], Sequence[TopicEndpointInfo]], map_frame: str,
        logger: RcutilsLogger, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Create the topics with create_publisher(type, topic, qos).

        subscriptions() returns those of the topic of a publisher; clock() is in seconds.
        """
        self._subscriptions = subscriptions
        self._map = create_publisher(OccupancyGrid, 'map', LATCHED)
        self._updates = create_publisher(OccupancyGridUpdate, 'map_updates', RELIABLE)
        self._probability = create_publisher(OccupancyGrid, '~/map_probability', LATCHED)
        self._map_frame, self._logger, self._clock = map_frame, logger, clock
        self._published: MapGrid | None = None  # what subscribers have, with all patches
        self._latched: MapGrid | None = None  # the last whole map, which late subscribers get
        self._latched_at = 0.0
        self._latched_subscriptions: set[bytes] = set()  # gids at that time
        self._late_subscribers, self._late_subscribers_of_probability = (
            LateSubscribers(functools.partial(subscriptions, publisher), clock)
            for publisher in (self._map, self._probability))
        self._probabilities: NDArray[np.int8] | None = None  # as published
        self._floor: tuple[float, bool] | None = None  # (height, found) as logged
        self._invalid = False  # see invalidate

    def publish(self, grid: 'MapGrid', stamp_ns: int) -> None:
        """Publish what has changed in a MapGrid."""
        self._log_floor(grid)
        self._publish_probabilities(grid, stamp_ns)
        patch = self._changed_patch(grid)
        if patch is None or self._whole_map_is_due(grid, patch):
            self._publish_whole(grid, stamp_ns)
        elif grid.cells[patch].size:
            self._updates.publish(
                occupancy_patch_message(grid.cells, patch, stamp_ns, self._map_frame))
            self._published = grid

    def publish_unknown(self, stamp_ns: int) -> None:
        """Publish a map of unknown cells if any map was published."""
        if self._published is None:
            return
        unknown = np.full_like(self._published.cells, -1)
        grid = dataclasses.replace(self._published, cells=unknown)
        self._publish_whole(grid, stamp_ns)
        if self._probabilities is not None:
            self._probability.publish(occupancy_grid_message(grid, stamp_ns, self._map_frame))
            self._probabilities = unknown

    def invalidate(self) -> None:
        """Publish everything the next time: an inactive publisher drops its messages."""
        self._invalid = True

    def floor_text(self) -> str:
        """Return the height of the floor [m] as text."""
        height, found = self._floor or (0.0, False)
        return f'{height:.2f}' if found else 'not found'

    def _publish_whole(self, grid: 'MapGrid', stamp_ns: int) -> None:
        self._latched_at = self._clock()
        self._latched_subscriptions = gids(self._subscriptions(self._map))
        self._map.publish(occupancy_grid_message(grid, stamp_ns, self._map_frame))
        self._late_subscribers.note_message()
        self._published = self._latched = grid
        self._invalid = False

    def _changed_patch(self, grid: 'MapGrid') -> tuple[slice, slice] | None:
        """Return the bounds (rows, columns) of changed cells; None if the grid has moved."""
        published = self._published
        if published is None or grid.cells.shape != published.cells.shape or not np.array_equal(
                grid.origin, published.origin):
            return None
        rows, columns = np.nonzero(grid.cells != published.cells)
        if not len(rows):
            return slice(0), slice(0)
        return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)

    def _whole_map_is_due(self, grid: 'MapGrid', patch: tuple[slice, slice]) -> bool:
        """Return whether to publish the whole map instead of a patch."""
        if self._invalid or self._latched is None:
            return True
        changed = grid.cells[patch].size
        if not changed and np.array_equal(grid.cells, self._latched.cells):
            return self._late_subscribers.are_waiting()
        maps, updates = map(self._subscriptions, (self._map, self._updates))
        return (
            not maps or not _nodes(maps) <= _nodes(updates)
            or not gids(maps) <= self._latched_subscriptions
            or changed > MAX_PATCH * grid.cells.size
            or self._clock() - self._latched_at > MAX_PATCH_TIME)

    def _publish_probabilities(self, grid: 'MapGrid', stamp_ns: int) -> None:
        if not self._probability.get_subscription_count():
            return
        if (self._invalid or self._probabilities is None
                or not np.array_equal(grid.probabilities, self._probabilities)
                or self._late_subscribers_of_probability.are_waiting()):
            self._probability.publish(occupancy_grid_message(
                dataclasses.replace(grid, cells=grid.probabilities), stamp_ns, self._map_frame))
            self._probabilities = grid.probabilities
            self._late_subscribers_of_probability.note_message()

    def _log_floor(self, grid: 'MapGrid') -> None:
        floor = round(grid.floor, 3), grid.floor_found
        if floor == self._floor:
            return
        self._floor = floor
        if grid.floor_found:
            self._logger.info(f'the floor is at z = {grid.floor:.2f} m')
        else:
            self._logger.warning(
                'no floor has been found yet: heights are measured from z = 0 of the map frame')


def _nodes(endpoints: Sequence[TopicEndpointInfo]) -> set[tuple[str, str]]:
    """Return (namespace, name) of the nodes of endpoints."""
    return {(endpoint.node_namespace, endpoint.node_name) for endpoint in endpoints}
