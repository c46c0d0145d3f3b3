"""The training thread, with an engine that does what a test says."""
import dataclasses
import threading
import time
import types

import numpy as np
import pytest

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.config import NodeConfig
from instant_nerf_ros.ros.drops import Drops
from instant_nerf_ros.ros.training import Training

CAMERA = Camera(8, 6, 5.0, 5.0, 3.5, 2.5)


@dataclasses.dataclass
class Posed:
    """A PosedImage at x metres."""

    stamp_ns: int
    x: float
    frame_id: str = 'camera'
    camera: Camera = CAMERA

    @property
    def T_map_camera(self):  # noqa: N802
        """Return the pose."""
        pose = np.eye(4)
        pose[0, 3] = self.x
        return pose


class Engine:
    """Keeps images that moved by a metre; a negative x is an error of the input."""

    backend = 'fake'

    def __init__(self):
        self.keyframes = types.SimpleNamespace(moved=self.moved)
        self.added, self.steps, self.threads = [], 0, set()
        self.step_error = None

    @property
    def keyframe_count(self):
        """Return the number of keyframes."""
        return len(self.added)

    def moved(self, T_map_camera):
        """Return whether the camera is a metre from where it was."""
        return not self.added or abs(T_map_camera[0, 3] - self.added[-1]) >= 1.0

    def add(self, image, camera, T_map_camera, depth):
        """Keep the position."""
        if T_map_camera[0, 3] < 0:
            raise ValueError('negative x')
        self.added.append(T_map_camera[0, 3])

    def step(self):
        """Count, and note the thread."""
        if self.step_error:
            raise self.step_error
        self.threads.add(threading.current_thread())
        self.steps += 1
        time.sleep(0.001)
        return {'loss': 1 / self.steps}

    def map(self):
        """Return something to publish."""
        return 'map', self.steps

    def render(self, camera, T_map_camera):
        """Return something to publish."""
        return camera.width, camera.height, T_map_camera[0, 3]


class Rig:
    """A training thread between queues that a test fills and lists that it fills."""

    def __init__(self, posed=(), requests=(), wanted=False, **settings):
        self.engine, self.maps, self.views, self.decoded = Engine(), [], [], []
        self.logged, self.warned, self.stop = [], [], threading.Event()
        posed, requests = list(posed), list(requests)
        inputs = types.SimpleNamespace(
            take=lambda: posed.pop(0) if posed else None,
            decode=self._decode, wait=time.sleep)
        self.products = types.SimpleNamespace(
            publish_map=lambda grid, stamp_ns: self.maps.append((grid, stamp_ns)),
            publish_view=lambda *view: self.views.append(view),
            views_wanted=lambda: wanted, points_wanted=lambda: False)
        self.map_services = types.SimpleNamespace(
            serve=lambda mapper, stamp_ns: (mapper, stamp_ns), end=lambda: None)
        self.drops = Drops(self.warned.append)
        logger = types.SimpleNamespace(info=self.logged.append, fatal=self.logged.append)
        config = dataclasses.replace(NodeConfig(map_rate=10.0, render_width=4), **settings)
        self.thread = Training(
            lambda: self.engine, config, inputs,
            types.SimpleNamespace(take=lambda: requests.pop(0) if requests else None),
            self.products, self.map_services, self.drops, logger, self.stop)

    def _decode(self, posed):
        self.decoded.append(posed.x)
        return 'image', None

    def run(self, seconds=0.3):
        """Run the thread for a while."""
        self.thread.start()
        self.stop.wait(seconds)
        self.stop.set()
        self.thread.join(5.0)
        assert not self.thread.is_alive()


def test_only_images_that_moved_are_decoded_and_added():
    rig = Rig([Posed(1, 0.0), Posed(2, 0.5), Posed(3, 1.0), Posed(4, 1.5)])
    rig.run()
    assert rig.decoded == rig.engine.added == [0.0, 1.0]
    assert rig.maps[-1][1] == 3  # the stamp of the newest image in the map
    assert rig.thread.error is None


def test_only_the_thread_steps_and_its_progress_can_be_read():
    rig = Rig([Posed(1, 0.0)])
    rig.run()
    assert rig.engine.threads == {rig.thread}
    progress = rig.thread.progress
    assert (progress.backend, progress.keyframes) == ('fake', 1)
    assert progress.steps == rig.engine.steps > 10
    assert progress.loss == 1 / progress.steps


def test_without_images_it_waits():
    rig = Rig()
    rig.run()
    assert rig.engine.steps == 0 and rig.maps == []


def test_what_the_engine_refuses_is_counted_and_the_work_goes_on():
    rig = Rig([Posed(1, 0.0), Posed(2, -5.0), Posed(3, 2.0)])
    rig.run()
    assert rig.engine.added == [0.0, 2.0]
    assert rig.drops.counts() == {'refused by the engine': 1}
    assert 'negative x' in rig.warned[0]


def test_an_error_of_the_engine_is_kept_logged_and_ends_the_node():
    rig = Rig([Posed(1, 0.0)])
    rig.engine.step_error = RuntimeError('out of luck')
    rig.run(5.0)
    assert rig.stop.is_set() and str(rig.thread.error) == 'out of luck'
    assert 'Traceback' in rig.logged[-1] and 'out of luck' in rig.logged[-1]


def test_an_error_at_the_start_of_the_engine_too():
    rig = Rig()
    rig.thread._make_mapper = lambda: 1 / 0
    rig.run(5.0)
    assert isinstance(rig.thread.error, ZeroDivisionError)


def test_views_are_of_the_newest_pose_even_if_that_image_was_not_kept():
    rig = Rig([Posed(1, 0.0), Posed(2, 0.5)], wanted=True, render_rate=30.0)
    rig.run()
    view, camera, stamp_ns, frame_id = rig.views[-1]
    assert view == (4, 3, 0.5) and camera == CAMERA.scaled(4, 3)
    assert (stamp_ns, frame_id) == (2, 'camera')


def test_nothing_is_rendered_that_nobody_wants():
    rig = Rig([Posed(1, 0.0)], wanted=False, render_rate=30.0)
    rig.run()
    assert rig.views == []


def test_requests_are_answered_in_order_between_steps_at_the_size_of_the_camera():
    requests = [Posed(stamp, x, 'map') for stamp, x in ((7, 3.0), (5, 4.0), (6, 5.0))]
    rig = Rig([Posed(1, 0.0)], requests, render_width=0)
    rig.run()
    assert [(view[0], *view[2:]) for view in rig.views] == [
        ((8, 6, 3.0), 7, 'map'), ((8, 6, 4.0), 5, 'map'), ((8, 6, 5.0), 6, 'map')]


@pytest.mark.parametrize('rate', [0.0, 10.0])
def test_the_rate_is_an_upper_bound_and_zero_is_never(rate):
    rig = Rig([Posed(1, 0.0)], map_rate=rate)
    rig.run(0.55)
    assert len(rig.maps) <= 6 if rate else rig.maps == []
    assert bool(rig.maps) == bool(rate)
