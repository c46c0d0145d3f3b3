"""The training thread, with a fake mapper."""
import dataclasses
import threading
import time
import types

import numpy as np
import pytest

pytest.importorskip('builtin_interfaces')

from waiting import wait_until

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.settings import replace
from instant_nerf_ros.ros.inputs.keyframe_feeder import KeyframeFeeder
from instant_nerf_ros.ros.outputs import progressive_renderer
from instant_nerf_ros.ros.outputs.output_schedule import OutputSchedule
from instant_nerf_ros.ros.outputs.view_publisher import ViewPublisher, virtual_camera
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.dropped_messages import DroppedMessages
from instant_nerf_ros.ros.reporting.topic_statistics import TopicStatistics
from instant_nerf_ros.ros.training import TrainingThread
from instant_nerf_ros.session.recorder import Recorder
from instant_nerf_ros.session.session_source import SessionConfig

CAMERA = Camera(8, 6, 5.0, 5.0, 3.5, 2.5)
IMAGE = np.zeros((6, 8, 3), np.uint8)


@dataclasses.dataclass
class Posed:
    """A PosedImage at x metres."""

    preview = False  # as a ViewRequest

    stamp_ns: int
    x: float
    frame_id: str = 'camera'
    camera: Camera = CAMERA
    source: object = None
    depth: object = None
    angular_velocity: object = None

    @property
    def T_map_camera(self):  # noqa: N802
        """Return the pose."""
        pose = np.eye(4)
        pose[0, 3] = self.x
        return pose


class FakeMapper:
    """A Mapper that adds images a metre apart, and raises ValueError for a negative x."""

    backend_name = 'fake'
    keyframes = types.SimpleNamespace(stored_bytes=0, image=lambda k: (CAMERA, None, None))
    measurements = types.SimpleNamespace(
        depth_alignment=types.SimpleNamespace(correction=(0.0, 0.0)))
    discarded = 0
    converged = False

    def __init__(self):
        self.config = None
        self.poses = np.empty((0, 4, 4))
        self.added, self.integrated, self.steps, self.threads = [], [], 0, set()
        self.rendered = []  # pixels per call
        self.step_error = None
        self.backend = types.SimpleNamespace(synchronize=lambda: None)

    def set_config(self, config):
        """Keep the config."""
        self.config = config

    def psnr(self):
        """Return a PSNR."""
        return 20.0

    @property
    def keyframe_count(self):
        """Return the number of keyframes."""
        return len(self.added)

    def keyframe_poses(self):
        """Return the poses (K, 4, 4) of a loaded map."""
        return self.poses

    def is_new_viewpoint(self, T_map_camera):
        """Return whether the camera is a metre from all added positions."""
        return all(abs(T_map_camera[0, 3] - x) >= 1.0 for x in self.added)

    def add(self, image, camera, T_map_camera, depth, angular_velocity=None, hurry=False):
        """Keep the position; return the id."""
        if T_map_camera[0, 3] < 0:
            raise ValueError('negative x')
        self.added.append(T_map_camera[0, 3])
        return len(self.added)

    def is_held_out(self, image_id):
        """Return False: every image becomes a keyframe."""
        return False

    def integrate_depth(self, image, camera, T_map_camera, depth):
        """Keep the depth."""
        self.integrated.append(depth)

    def step(self):
        """Count, and keep the thread."""
        if self.step_error:
            raise self.step_error
        self.threads.add(threading.current_thread())
        self.steps += 1
        time.sleep(0.001)
        return {'loss': 1 / self.steps}

    def map(self):
        """Return something to publish."""
        return 'map', self.steps

    def render(self, camera, T_map_camera, rows):
        """Return a view whose pixels are the x of the pose."""
        self.rendered.append(len(range(camera.height)[rows]) * camera.width)
        shape = len(range(camera.height)[rows]), camera.width
        x = T_map_camera[0, 3]
        return types.SimpleNamespace(
            color=np.full((*shape, 3), 10 * x + camera.width % 7), depth=np.full(shape, x))


class Source:
    """Decodes the images of a camera."""

    def __init__(self, decode):
        self.decode = decode


class Queue:
    """An InputQueue of a list."""

    def __init__(self, posed):
        self._posed, self.wait = posed, time.sleep

    def __len__(self):
        return len(self._posed)

    def pop(self):
        """Return the first, None if there is none."""
        return self._posed.pop(0) if self._posed else None


class Rig:
    """A training thread between lists of inputs and lists of outputs."""

    def __init__(self, posed=(), requests=(), subscribed=True, **settings):
        self.mappers, self.maps, self.views, self.decoded = [], [], [], []
        self.logged, self.warned, self.path, self.invalidated = [], [], [], []
        self.posed, requests = list(posed), list(requests)
        source = Source(self._decode)
        for index, one in enumerate(self.posed):
            if one.source is None:
                self.posed[index] = dataclasses.replace(one, source=source)
        queue = Queue(self.posed)
        self.publishers = types.SimpleNamespace(
            publish_map=lambda mapper, stamp_ns: self.maps.append((mapper.map(), stamp_ns)),
            publish_view=lambda view, *about: self.views.append(
                ((*view.depth.shape[::-1], view.depth[0, 0]), *about[:3])),
            publish_unknown=lambda stamp_ns: self.maps.append(('unknown', stamp_ns)),
            publish_volumes=lambda *_: None, has_view_subscribers=lambda: subscribed,
            invalidate=lambda: self.invalidated.append('publishers'))
        path_publisher = types.SimpleNamespace(
            add=lambda pose, stamp_ns: self.path.append(pose[0, 3]),
            clear=lambda stamp_ns: self.path.clear(), publish=lambda poses, stamp_ns: None,
            invalidate=lambda: self.invalidated.append('path'))
        self.loaded = []  # (mapper, stamp) that the map services return
        self.rescued = []  # mappers whose keyframes were saved after an error
        self.map_services = types.SimpleNamespace(
            handle_next=lambda *known: self.loaded.pop() if self.loaded else known,
            rescue=self.rescued.append)
        self.dropped = DroppedMessages(self.warned.append)
        logger = types.SimpleNamespace(
            info=self.logged.append, fatal=self.logged.append, debug=self.logged.append)
        config = NodeConfig(map_rate=10.0, render_rate=0.0, render_width=4)
        config = dataclasses.replace(config, **settings)
        self.parameters = types.SimpleNamespace(node=config, engine=Config())
        loop_closures = types.SimpleNamespace(
            reset=lambda: None, apply=lambda mapper: None, note=lambda image_id, stamp_ns: None,
            T_new_old=lambda stamp_ns: np.eye(4))
        recorder = Recorder(SessionConfig(''))
        self.feeder = KeyframeFeeder(
            self.parameters, queue, loop_closures, path_publisher, TopicStatistics(),
            self.dropped, time.time_ns, recorder)
        views = ViewPublisher(
            None, config,
            types.SimpleNamespace(take=lambda: requests.pop(0) if requests else None),
            self.publishers, self.dropped)

        def training(previous=None):
            thread = TrainingThread(
                self.make, self.parameters, self.feeder,
                OutputSchedule(self.parameters, self.publishers, path_publisher, views),
                self.map_services, recorder, logger, previous)
            thread.daemon = True  # it must not outlive a failed test
            return thread

        self.training, self.thread = training, training()
        self.thread.activate()

    def make(self):
        """Return another mapper."""
        self.mappers.append(FakeMapper())
        return self.mappers[-1]

    @property
    def mapper(self):
        """Return the mapper in use."""
        return self.mappers[-1]

    def _decode(self, posed):
        self.decoded.append(posed.x)
        return IMAGE, posed.depth

    def run(self, until=None, seconds=0.3):
        """Run the thread until a condition holds, or for some seconds."""
        self.thread.start()
        if until is None:
            self.thread.join(seconds)
        else:
            wait_until(until)
        self.stop()

    def has_added(self, *positions):
        """Return whether the mapper has added images at these positions, and no others."""
        return bool(self.mappers) and self.mapper.added == list(positions)

    def has_ended(self):
        """Return whether the thread has ended."""
        return not self.thread.is_alive()

    def stop(self):
        """Stop the thread."""
        self.thread.stop()
        self.thread.join(5.0)
        assert not self.thread.is_alive()


def test_only_images_that_moved_are_decoded_and_added():
    rig = Rig([Posed(1, 0.0), Posed(2, 0.5), Posed(3, 1.0), Posed(4, 1.5)])
    rig.run(lambda: not rig.posed and rig.maps and rig.maps[-1][1] == 3)
    assert rig.decoded == rig.mapper.added == [0.0, 1.0]
    assert rig.maps[-1][1] == 3  # the stamp of the newest image in the map
    assert rig.thread.error is None


def test_only_the_thread_steps_and_its_progress_can_be_read():
    rig = Rig([Posed(1, 0.0)])
    rig.run(lambda: rig.thread.progress.steps > 10)
    assert rig.mapper.threads == {rig.thread}
    progress = rig.thread.progress
    assert (progress.backend, progress.keyframes) == ('fake', 1)
    assert progress.steps == rig.mapper.steps > 10
    assert progress.loss == 1 / progress.steps


def test_without_images_it_waits():
    rig = Rig()
    rig.run()
    assert rig.mapper.steps == 0 and rig.maps == []


def test_a_converged_field_rests_until_the_next_keyframe():
    rig = Rig([Posed(1, 0.0)])
    rig.thread.start()
    wait_until(lambda: rig.thread.progress.steps >= 5)
    rig.mapper.converged = True
    wait_until(lambda: any('rests' in text for text in rig.logged))
    time.sleep(0.3)
    steps, maps = rig.mapper.steps, len(rig.maps)
    time.sleep(0.5)
    assert rig.mapper.steps == steps and len(rig.maps) == maps  # no longer ten a second
    assert sum('rests' in text for text in rig.logged) == 1
    rig.mapper.converged = False  # as after another keyframe
    wait_until(lambda: rig.mapper.steps > steps and len(rig.maps) > maps)
    rig.stop()


def test_images_that_the_mapper_rejects_are_counted_and_mapping_continues():
    rig = Rig([Posed(1, 0.0), Posed(2, -5.0), Posed(3, 2.0)])
    rig.run(lambda: rig.has_added(0.0, 2.0))
    assert rig.dropped.counts() == {'refused by the engine': 1}
    assert 'negative x' in rig.warned[0]


def test_images_that_arrive_faster_than_they_are_added_do_not_block_training():
    rig = Rig([Posed(1, 0.0)])
    rig.feeder._queue.pop = lambda: rig.posed[0]  # never empty
    rig.run(lambda: rig.mappers and rig.mapper.steps >= 2)


def test_an_error_of_a_step_is_kept_and_logged_and_the_keyframes_are_rescued():
    rig = Rig([Posed(1, 0.0)])
    mapper = FakeMapper()
    mapper.step_error = RuntimeError('out of luck')
    rig.thread._make_mapper = lambda: mapper
    rig.run(rig.has_ended)
    assert str(rig.thread.error) == 'out of luck'
    assert 'Traceback' in rig.logged[-1] and 'out of luck' in rig.logged[-1]
    assert rig.rescued == [mapper]


def test_training_takes_no_more_than_its_share_of_the_time():
    rig = Rig([Posed(1, 0.0)], training_share=0.1)
    rig.run(seconds=1.0)
    # A step sleeps for a millisecond, so a tenth of a second is enough for a hundred steps.
    assert 0 < rig.mapper.steps <= 100


def test_an_error_at_the_start_of_the_engine_is_kept():
    rig = Rig()
    rig.thread._make_mapper = lambda: 1 / 0
    rig.run(rig.has_ended)
    assert isinstance(rig.thread.error, ZeroDivisionError)


def test_views_are_rendered_from_the_latest_pose_even_if_its_image_was_not_added():
    rig = Rig([Posed(1, 0.0), Posed(2, 0.5)], subscribed=True, render_rate=30.0)
    rig.run(lambda: rig.views and rig.views[-1][0] == (4, 3, 0.5))
    _, camera, stamp_ns, frame_id = rig.views[-1]
    assert camera == CAMERA.scaled(4, 3)
    assert (stamp_ns, frame_id) == (2, 'camera')


def test_without_subscribers_nothing_is_rendered():
    rig = Rig([Posed(1, 0.0)], [Posed(7, 3.0, 'map')], subscribed=False, render_rate=30.0)
    rig.run(lambda: rig.dropped.counts() and rig.mapper.steps > 10)
    assert rig.views == [] and rig.dropped.counts() == {'unwanted view': 1}


def test_requests_are_answered_in_order_between_steps_at_the_size_of_the_camera():
    requests = [Posed(stamp, x, 'map') for stamp, x in ((7, 3.0), (5, 4.0), (6, 5.0))]
    rig = Rig([Posed(1, 0.0)], requests, render_width=0)
    rig.run(lambda: len(rig.views) == 3)
    assert [(view[0], *view[2:]) for view in rig.views] == [
        ((8, 6, 3.0), 7, 'map'), ((8, 6, 4.0), 5, 'map'), ((8, 6, 5.0), 6, 'map')]


def test_a_slow_view_is_coarse_first_and_a_request_replaces_it(monkeypatch):
    monkeypatch.setattr(progressive_renderer, 'MIN_PIXELS', 8)  # the view has twelve
    monkeypatch.setattr(progressive_renderer, 'INITIAL_PIXEL_TIME', 1.0)
    rig = Rig([Posed(1, 0.0)], [Posed(7, 3.0, 'map')])
    rig.run(lambda: len(rig.views) == 2)
    assert rig.mapper.rendered == [2, 8, 4]  # coarse, two rows, one row
    assert [view[2:] for view in rig.views] == [(7, 'map')] * 2
    assert all(view[0] == (4, 3, 3.0) for view in rig.views)
    rig = Rig([Posed(1, 0.0)], [Posed(stamp, 3.0, 'map') for stamp in (7, 8, 9)])
    rig.run(lambda: len(rig.views) == 4)
    assert [view[2] for view in rig.views] == [7, 8, 9, 9]


def test_a_preview_is_small_first_and_full_when_no_other_follows(monkeypatch):
    monkeypatch.setattr(progressive_renderer, 'MIN_PIXELS', 8)  # the view has twelve
    monkeypatch.setattr(progressive_renderer, 'INITIAL_PIXEL_TIME', 1.0)
    previews = [Posed(stamp, 3.0, 'map') for stamp in (7, 8)]
    for request in previews:
        request.preview = True
    rig = Rig([Posed(1, 0.0)], previews)
    rig.run(lambda: len(rig.views) == 3)
    assert [(view[0], view[2]) for view in rig.views] == [
        ((2, 1, 3.0), 7), ((2, 1, 3.0), 8), ((4, 3, 3.0), 8)]
    assert [(view[1].width, view[1].height) for view in rig.views] == [(2, 1), (2, 1), (4, 3)]


def test_the_rate_is_an_upper_bound():
    rig, begin = Rig([Posed(1, 0.0)], map_rate=10.0), time.monotonic()
    rig.run(lambda: len(rig.maps) == 4)
    assert time.monotonic() - begin > 0.3


def test_a_rate_of_zero_is_never():
    rig = Rig([Posed(1, 0.0)], map_rate=0.0)
    rig.run(lambda: rig.thread.progress.steps > 100)
    assert rig.maps == []


def test_an_inactive_thread_only_starts_the_engine():
    rig = Rig([Posed(1, 0.0)])
    rig.thread.deactivate()
    rig.thread.start()
    wait_until(lambda: rig.thread.progress.backend == 'fake')
    time.sleep(0.2)
    rig.stop()
    assert rig.mapper.added == [] and rig.mapper.steps == 0 and rig.maps == []


def test_each_activation_publishes_everything_again():
    rig = Rig([Posed(1, 0.0)])
    rig.thread.activate()
    rig.thread.start()
    wait_until(lambda: rig.maps)
    rig.thread.deactivate()
    time.sleep(0.1)
    assert rig.invalidated == ['publishers', 'path']
    rig.thread.activate()
    wait_until(lambda: rig.invalidated == ['publishers', 'path'] * 2)
    rig.stop()


def test_while_paused_the_map_is_published_but_not_trained():
    rig = Rig([Posed(1, 0.0), Posed(2, 1.0)], [Posed(7, 3.0, 'map')])
    rig.thread.start()
    wait_until(lambda: rig.mappers and rig.mapper.steps and rig.views)
    rig.thread.set_paused(True)
    maps = len(rig.maps)
    wait_until(lambda: len(rig.maps) > maps + 1)  # the step that was being taken is done
    steps, maps = rig.mapper.steps, len(rig.maps)
    rig.posed.append(Posed(3, 5.0))
    wait_until(lambda: len(rig.maps) > maps + 1)
    assert rig.mapper.steps == steps and rig.mapper.added == [0.0, 1.0]
    rig.posed.clear()
    rig.thread.set_paused(False)
    wait_until(lambda: rig.mapper.steps > steps)
    rig.stop()


def test_a_reset_publishes_unknown_space_and_starts_another_map():
    rig = Rig([Posed(1, 0.0), Posed(2, 1.0)])
    rig.thread.start()
    wait_until(lambda: len(rig.path) == 2 and rig.maps)
    rig.thread.reset()
    wait_until(lambda: len(rig.mappers) == 2)
    rig.posed.append(Posed(5, 0.5, source=Source(rig._decode)))
    wait_until(lambda: rig.path and rig.maps[-1][1] == 5)
    rig.stop()
    assert ('unknown', 2) in rig.maps
    assert rig.mapper.added == [0.5] == rig.path
    assert rig.thread.progress.keyframes == 1


def test_a_thread_waits_for_the_previous_one_and_starts_no_engine_after_stop():
    rig, release = Rig(), threading.Event()
    rig.thread._make_mapper = lambda: release.wait(5.0) and FakeMapper()
    rig.thread.start()
    second = rig.training(rig.thread)
    third = rig.training(second)
    for thread in (second, third):
        thread.start()
    rig.thread.stop()
    second.stop()
    time.sleep(0.1)
    assert rig.mappers == []
    release.set()
    wait_until(lambda: third.progress.backend)
    third.stop()
    third.join(5.0)
    assert len(rig.mappers) == 1


def test_an_error_while_stopping_is_no_failure():
    rig = Rig([Posed(1, 0.0)])

    def publish(grid, stamp_ns):
        rig.thread.stop()
        raise RuntimeError('the publisher is gone')

    rig.publishers.publish_map = publish
    rig.run(rig.has_ended)
    assert rig.thread.error is None


def test_changed_settings_reach_the_mapper_and_the_rates():
    rig = Rig([Posed(1, 0.0)], map_rate=0.0)
    rig.thread.start()
    time.sleep(0.1)
    assert rig.maps == []
    rig.parameters.node = dataclasses.replace(rig.parameters.node, map_rate=10.0)
    rig.parameters.engine = changed = replace(
        rig.parameters.engine, {'keyframes.min_translation': 0.5, 'map.max_height': 2.0})
    wait_until(lambda: rig.maps and rig.mapper.config is changed)
    rig.stop()


def test_of_two_static_cameras_one_image_each_is_added():
    rig = Rig()
    front, rear = (Source(rig._decode) for _ in range(2))
    rig.posed += [Posed(1, 0.0, source=front), Posed(2, 5.0, source=rear)] + [
        Posed(3 + index, 5.0 * (index % 2), source=(front, rear)[index % 2])
        for index in range(10)]
    rig.posed.append(Posed(20, 1.0, source=front))
    rig.run(lambda: not rig.posed and rig.has_added(0.0, 5.0, 1.0))


def test_of_a_static_camera_one_depth_image_a_second_is_integrated():
    posed = [Posed(int(k * 1e8), 5.0, depth=k) for k in range(36)]
    rig = Rig([*posed, Posed(int(5e9), 5.0), Posed(int(2e9), 5.0, depth='back')])
    rig.run(lambda: rig.maps and rig.maps[-1][1] == int(2e9))  # that of the newest image in it
    assert rig.mapper.added == [5.0]
    assert rig.mapper.integrated == [10, 20, 30, 'back']  # time may jump
    assert len(rig.decoded) == 5


def test_an_inactive_thread_resets_the_map_when_it_is_activated():
    rig = Rig([Posed(1, 0.0)])
    rig.thread.start()
    wait_until(lambda: rig.maps)
    rig.thread.deactivate()
    time.sleep(0.2)
    rig.thread.reset()
    time.sleep(0.2)
    assert len(rig.mappers) == 1 and ('unknown', 1) not in rig.maps
    rig.thread.activate()
    wait_until(lambda: ('unknown', 1) in rig.maps)
    rig.stop()
    assert len(rig.mappers) == 2 and rig.mapper.steps == 0


def test_a_loaded_map_replaces_the_old_one_and_follows_the_settings():
    rig = Rig([Posed(1, 0.0), Posed(2, 1.0)], [Posed(7, 3.0, 'map')])
    rig.thread.start()
    wait_until(lambda: len(rig.path) == 2 and rig.mapper.steps)
    loaded = FakeMapper()
    loaded.added = [7.0]
    loaded.poses = np.stack([Posed(0, 7.0).T_map_camera])
    rig.loaded.append((loaded, 100))
    wait_until(lambda: loaded.steps)
    steps = rig.mapper.steps
    assert rig.path == [7.0]
    rig.parameters.engine = changed = replace(rig.parameters.engine, {'map.max_height': 2.0})
    # The old map had a keyframe there.
    rig.posed += [Posed(5, 1.0, source=Source(rig._decode))]
    wait_until(lambda: len(loaded.added) == 2 and loaded.config is changed)
    rig.stop()
    assert rig.mapper.steps == steps and rig.mapper is not loaded
    assert loaded.added == [7.0, 1.0] and rig.path == [7.0, 1.0]
    assert loaded.threads == {rig.thread}


def test_requested_views_of_a_loaded_map_need_no_image_and_those_of_the_camera_wait_for_one():
    rig = Rig([], [Posed(7, 3.0, 'map')], render_rate=10.0)
    loaded = FakeMapper()
    loaded.added = [7.0]
    rig.loaded.append((loaded, 100))
    rig.thread.start()
    wait_until(lambda: loaded.steps >= 5 and rig.maps)
    assert [view[2:] for view in rig.views] == [(7, 'map')] and rig.maps[-1][1] == 100
    rig.posed.append(Posed(5, 0.0, source=Source(rig._decode)))
    wait_until(lambda: len(rig.views) > 1)
    rig.stop()
    assert rig.views[1][2] == 5


@pytest.mark.parametrize(('settings', 'size', 'focal', 'centre'), [
    ({'render_width': 0}, (8, 6), 5.0, (3.5, 2.5)),
    ({'render_width': 4}, (4, 3), 2.5, (1.5, 1.0)),
    ({'render_width': 4, 'render_height': 5}, (4, 5), 2.5, (1.5, 2.0)),
    ({'render_width': 4, 'render_fov': 90.0}, (4, 3), 2.0, (1.5, 1.0)),
])
def test_the_virtual_camera_has_the_size_and_field_of_view_of_the_settings(
        settings, size, focal, centre):
    camera = virtual_camera(CAMERA, NodeConfig(**settings))
    assert (camera.width, camera.height) == size
    assert camera.fx == pytest.approx(focal) and camera.fy == pytest.approx(focal)
    assert (camera.cx, camera.cy) == centre
