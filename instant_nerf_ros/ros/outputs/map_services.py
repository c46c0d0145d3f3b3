"""MapServices: services to save, load and get the map, executed by the training thread."""
import collections
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from nav_msgs.srv import GetMap
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.ros.conversions import header_message, occupancy_grid_message
from instant_nerf_ros.ros.params.live_parameters import LiveParameters

# Handles a request: (mapper, stamp of its newest image, response) -> both as they are then.
Handler = Callable[[Mapper, int, Any], tuple[Mapper, int]]


class MapServices:
    """Offers ~/save_map, ~/load_map and ~/get_map.

    The training thread handles a request between two steps. Until then, the callback is suspended
    and does not block the executor. While the node is not active, requests are rejected.
    """

    def __init__(self, node: Node, settings: LiveParameters, state: Callable[[], str]) -> None:
        """Create the services on a node; state() returns its life-cycle state."""
        self._logger, self._clock = node.get_logger(), node.get_clock()
        self._settings, self._state = settings, state
        self._pending: collections.deque[tuple[str, Handler, Any, Future]] = collections.deque()
        self.activity = ''  # of the thread in handle_next, and until it calls that again
        # A suspended callback blocks its group, so it must not be that of the subscriptions.
        group = ReentrantCallbackGroup()
        for service_type, name, activity, handler in (
                (Trigger, 'save_map', 'saving the map', self._save),
                (Trigger, 'load_map', 'loading a map', self._load),
                (GetMap, 'get_map', 'sending the map', self._get)):
            node.create_service(
                service_type, f'~/{name}', self._deferred(activity, handler),
                callback_group=group)

    def handle_next(self, mapper: Mapper, stamp_ns: int) -> tuple[Mapper, int]:
        """Handle one request; to be called by the thread that owns the mapper.

        stamp_ns is that of the newest image in the map. Returns the mapper and the stamp to
        continue with, which are others after a map was loaded.
        """
        try:
            self.activity, handler, response, future = self._pending.popleft()
        except IndexError:
            self.activity = ''
            return mapper, stamp_ns
        try:
            return handler(mapper, stamp_ns, response)
        finally:
            future.set_result(response)

    def rescue(self, mapper: Mapper | None) -> None:
        """Save the keyframes of a mapper whose backend has failed."""
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
                f"the images are in {folder}: to map them again, set 'map_folder' to it and call "
                '~/load_map')

    def reject_pending(self) -> None:
        """Answer the requests that wait, as the node is not active any more."""
        while self._pending:
            with contextlib.suppress(IndexError):  # the thread may have taken the last one
                _, _, response, future = self._pending.popleft()
                future.set_result(self._rejected(response))

    def _deferred(self, activity: str, handler: Handler) -> Callable[[Any, Any], Awaitable[Any]]:
        """Return a service callback that waits until the training thread has handled it."""
        async def callback(_: Any, response: Any) -> Any:
            if self._state() != 'active':
                return self._rejected(response)
            future: Future = Future()
            self._pending.append((activity, handler, response, future))
            return await future
        return callback

    def _save(
        self, mapper: Mapper, stamp_ns: int, response: Trigger.Response,
    ) -> tuple[Mapper, int]:  # fmt: skip
        with self._reported(response, 'save'):
            folder = self._checked_folder()
            mapper.save(folder)
            response.message = f'the map is in {folder}'
        return mapper, stamp_ns

    def _load(
        self, mapper: Mapper, stamp_ns: int, response: Trigger.Response,
    ) -> tuple[Mapper, int]:  # fmt: skip
        with self._reported(response, 'load'):
            folder = self._checked_folder()
            mapper = Mapper.load(folder, self._settings.engine)
            stamp_ns = self._clock.now().nanoseconds
            response.message = f'{mapper.keyframe_count} keyframes were loaded from {folder}'
        return mapper, stamp_ns

    def _get(
        self, mapper: Mapper, stamp_ns: int, response: GetMap.Response,
    ) -> tuple[Mapper, int]:  # fmt: skip
        if mapper.keyframe_count:
            response.map = occupancy_grid_message(
                mapper.map(), stamp_ns, self._settings.node.map_frame)
        else:  # an empty map: GetMap has no field for an error
            response.map.header = self._header()
        return mapper, stamp_ns

    @contextlib.contextmanager
    def _reported(self, response: Trigger.Response, verb: str) -> Iterator[None]:
        """Put success or the error into the response and the log."""
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            response.message = f'cannot {verb} the map: {error}'
            self._logger.error(response.message)
        else:
            response.success = True
            self._logger.info(response.message)

    def _checked_folder(self) -> Path:
        setting = self._settings.node.map_folder
        folder = Path(os.path.expanduser(setting))
        if not folder.is_absolute():
            raise ValueError(f"'map_folder' must be an absolute path, is '{setting}'")
        return folder

    def _rejected(self, response: Any) -> Any:
        sentence = f'the node is {self._state()}: activate it first'
        if isinstance(response, GetMap.Response):  # it has no field for the sentence
            self._logger.warning(f'no map: {sentence}')
            response.map.header = self._header()
        else:
            response.message = sentence
        return response

    def _header(self) -> Header:
        return header_message(self._clock.now().nanoseconds, self._settings.node.map_frame)
