"""Services about the map: keep it in files, load it, get it. The training thread does the work."""
import collections
import contextlib
import os
from pathlib import Path

from nav_msgs.srv import GetMap
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from std_srvs.srv import Trigger

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.ros.conversions import header_message, occupancy_grid_message


class MapServices:
    """~/save_map, ~/load_map and ~/get_map, answered between two steps of the training.

    The executor does not wait for an answer: a callback is suspended until there is one. While
    the node is not active, the answer is that.
    """

    def __init__(self, node, settings, state):
        """Offer the services on a node with Settings; state() tells the state it is in."""
        self._logger, self._clock = node.get_logger(), node.get_clock()
        self._settings, self._state = settings, state
        self._waiting = collections.deque()  # (work, response, Future)
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
        try:
            work, response, future = self._waiting.popleft()
        except IndexError:
            return mapper, stamp_ns
        try:
            return work(mapper, stamp_ns, response)
        finally:
            future.set_result(response)

    def rescue(self, mapper):
        """Save the images of a Mapper whose engine has failed, to be mapped again."""
        if mapper is None or not mapper.keyframe_count:
            return
        try:
            folder = self._checked_folder()
            folder = folder.with_name(f'{folder.name}_rescued')
            mapper.rescue(folder)
        except (OSError, ValueError) as error:
            self._logger.error(f'the images are lost: {error}')
        else:
            self._logger.error(
                f"the images are in {folder}: ~/load_map, with that as 'map_folder', maps them "
                'again')

    def refuse_waiting(self):
        """Answer what still waits: the node is not active any more."""
        while self._waiting:
            with contextlib.suppress(IndexError):  # the thread may have taken the last one
                _, response, future = self._waiting.popleft()
                future.set_result(self._refused(response))

    def _suspended(self, work):
        async def callback(_, response):
            if self._state() != 'active':
                return self._refused(response)
            future = Future()
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
            mapper = Mapper.load(folder, self._settings.engine)
            stamp_ns = self._clock.now().nanoseconds
            response.message = f'{mapper.keyframe_count} keyframes are back from {folder}'
        return mapper, stamp_ns

    def _get(self, mapper, stamp_ns, response):
        if mapper.keyframe_count:
            response.map = occupancy_grid_message(
                mapper.map(), stamp_ns, self._settings.node.map_frame)
        else:  # the service has no other word for it
            response.map.header = self._header()
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
        setting = self._settings.node.map_folder
        folder = Path(os.path.expanduser(setting))
        if not folder.is_absolute():
            raise ValueError(f"'map_folder' must be an absolute path, is '{setting}'")
        return folder

    def _refused(self, response):
        sentence = f'the node is {self._state()}: activate it first'
        if isinstance(response, GetMap.Response):  # which has no word for it
            self._logger.warning(f'no map: {sentence}')
            response.map.header = self._header()
        else:
            response.message = sentence
        return response

    def _header(self):
        return header_message(self._clock.now().nanoseconds, self._settings.node.map_frame)
