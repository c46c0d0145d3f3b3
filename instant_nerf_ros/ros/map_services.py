"""Services about the map: keep it in files, load it, get it. The training thread does the work."""
import collections
import contextlib
import os
import threading
from pathlib import Path

from nav_msgs.srv import GetMap
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from std_srvs.srv import Trigger

from instant_nerf_ros.ros.conversions import header_message, occupancy_grid_message


class MapServices:
    """~/save_map, ~/load_map and ~/get_map, answered between two steps of the training.

    The executor does not wait for an answer: a callback is suspended until there is one.
    """

    def __init__(self, node, config, load):
        """Offer the services on a node; load(folder) returns the Mapper of a folder."""
        self._logger, self._clock = node.get_logger(), node.get_clock()
        self._map_frame, self._folder, self._load = config.map_frame, config.map_folder, load
        self._lock = threading.Lock()
        self._waiting = collections.deque()  # (work, response, Future)
        self._ended = False
        # While one is suspended, its group is blocked: not that of the subscriptions.
        group = ReentrantCallbackGroup()
        for kind, name, work in (
                (Trigger, 'save_map', self._save), (Trigger, 'load_map', self._load_map),
                (GetMap, 'get_map', self._get)):
            node.create_service(
                kind, f'~/{name}', self._suspended(work), callback_group=group)

    def serve(self, mapper, stamp_ns):
        """Answer one request, in the thread that owns the mapper.

        stamp_ns: of the newest image in the map. Return the Mapper and the stamp to go on with:
        others, after loading.
        """
        with self._lock:
            if not self._waiting:
                return mapper, stamp_ns
            work, response, future = self._waiting.popleft()
        try:
            return work(mapper, stamp_ns, response)
        finally:
            future.set_result(response)

    def end(self):
        """Answer what still waits, and all that will come: nobody works any more."""
        with self._lock:
            self._ended = True
            waiting, self._waiting = self._waiting, collections.deque()
        for _, response, future in waiting:
            future.set_result(_refused(response))

    def _suspended(self, work):
        async def callback(_, response):
            future = Future()
            with self._lock:
                if self._ended:
                    return _refused(response)
                self._waiting.append((work, response, future))
            return await future
        return callback

    def _save(self, mapper, stamp_ns, response):
        with self._answered(response, 'save'):
            folder = self._checked_folder()
            mapper.save(folder)
            response.message = f'the map is in {folder}'
        return mapper, stamp_ns

    def _load_map(self, mapper, stamp_ns, response):
        with self._answered(response, 'load'):
            folder = self._checked_folder()
            mapper, stamp_ns = self._load(folder), self._clock.now().nanoseconds
            response.message = f'{mapper.keyframe_count} keyframes are back from {folder}'
        return mapper, stamp_ns

    def _get(self, mapper, stamp_ns, response):
        if mapper.keyframe_count:
            response.map = occupancy_grid_message(mapper.map(), stamp_ns, self._map_frame)
        else:  # the service has no other word for it
            response.map.header = header_message(
                self._clock.now().nanoseconds, self._map_frame)
        return mapper, stamp_ns

    @contextlib.contextmanager
    def _answered(self, response, verb):
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            response.message = f'cannot {verb} the map: {error}'
            self._logger.error(response.message)
        else:
            response.success = True
            self._logger.info(response.message)

    def _checked_folder(self):
        folder = Path(os.path.expanduser(self._folder))
        if not folder.is_absolute():
            raise ValueError(f"'map_folder' must be an absolute path, is '{self._folder}'")
        return folder


def _refused(response):
    if isinstance(response, Trigger.Response):
        response.message = 'the mapper has ended'
    return response
