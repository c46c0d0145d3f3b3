"""The training thread, with an engine that does what a test says."""
import dataclasses
import threading
import time
import types

import numpy as np
import pytest

pytest.importorskip('builtin_interfaces')

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.nerf.config import Config
from instant_nerf_ros.nerf.settings import replace
from instant_nerf_ros.ros.outputs import progressive_renderer
from instant_nerf_ros.ros.params.node_config import NodeConfig
from instant_nerf_ros.ros.reporting.dropped_messages import Drops
from instant_nerf_ros.ros.inputs.keyframe_feeder import Intake
from instant_nerf_ros.ros.reporting.topic_statistics import Traffic
from instant_nerf_ros.ros.training import Training
from instant_nerf_ros.ros.outputs.view_publisher import Views, virtual_camera

CAMERA = Camera(8, 6, 5.0, 5.0, 3.5, 2.5)
IMAGE = np.zeros((6, 8, 3), np.uint8)


@dataclasses.dataclass
class Posed:
    """A PosedImage at x metres."""

    stamp_ns: int
    x: float
    frame_id: str = 'camera'
    camera: Camera = CAMERA
    source: object = None
    depth: object = None

    @property
    def T_map_camera(self):  # noqa: N802
        """Return the pose."""
        pose = np.eye(4)
        pose[0, 3] = self.x
        return pose


class Engine:
    """Keeps images that moved by a metre; a negative x is an error of the input."""

    backend = 'fake'
    discarded = 0
    settled = False

    def __init__(self):
        self.config = None
        self.keyframes = types.SimpleNamespace(
            config=None, T_world_camera=np.empty((0, 4, 4)), stored=0, count=0)
        self.added, self.glances, self.steps, self.threads = [], [], 0, set()
        self.rendered = []  # pixels at a time
        self.step_error = None
        self.held_out = types.SimpleNamespace(
            takes=lambda *image: False, psnr=lambda mapper: 20.0)
        self.engine = types.SimpleNamespace(finish=lambda: None)

    @property
    def keyframe_count(self):
        """Return the number of keyframes."""
        return len(self.added)

    def moved(self, T_map_camera):
        """Return whether the camera is a metre from where it ever was."""
        return all(abs(T_map_camera[0, 3] - x) >= 1.0 for x in self.added)

    def add(self, image, camera, T_map_camera, depth):
        """Keep the position."""
        if T_map_camera[0, 3] < 0:
            raise ValueError('negative x')
        self.added.append(T_map_camera[0, 3])

    def glance(self, image, camera, T_map_camera, depth):
        """Note the depth."""
        self.glances.append(depth)

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

    def render(self, camera, T_map_camera, rows):
        """Return a view that is full of its x."""
        self.rendered.append(len(range(camera.height)[rows]) * camera.width)
        shape = len(range(camera.height)[rows]), camera.width
        x = T_map_camera[0, 3]
        return types.SimpleNamespace(
            color=np.full((*shape, 3), 10 * x + camera.width % 7), depth=np.full(shape, x))


class Source:
    """Decodes the images of a camera."""

    def __init__(self, decode):
        self.decode = decode


class Rig:
    """A training thread between queues that a test fills and lists that it fills."""

    def __init__(self, posed=(), requests=(), wanted=True, **settings):
        self.engines, self.maps, self.views, self.decoded = [], [], [], []
        self.logged, self.warned, self.way, self.begun = [], [], [], []
        self.posed, requests = list(posed), list(requests)
        source = Source(self._decode)
        for index, one in enumerate(self.posed):
            if one.source is None:
                self.posed[index] = dataclasses.replace(one, source=source)
        ready = types.SimpleNamespace(
            take=lambda: self.posed.pop(0) if self.posed else None, wait=time.sleep)
        self.products = types.SimpleNamespace(
            publish_map=lambda mapper, stamp_ns: self.maps.append((mapper.map(), stamp_ns)),
            publish_view=lambda view, *about: self.views.append(
                ((*view.depth.shape[::-1], view.depth[0, 0]), *about[:3])),
            publish_nothing_known=lambda stamp_ns: self.maps.append(('unknown', stamp_ns)),
            publish_volumes=lambda *_: None, views_wanted=lambda: wanted,
            begin_anew=lambda: self.begun.append('products'))
        way = types.SimpleNamespace(
            add=lambda pose, stamp_ns: self.way.append(pose[0, 3]),
            clear=lambda stamp_ns: self.way.clear(), publish=lambda poses, stamp_ns: None,
            begin_anew=lambda: self.begun.append('way'))
        self.loaded = []  # (Engine, stamp) that the services answer with
        self.rescued = []  # engines whose images were to be saved
        self.map_services = types.SimpleNamespace(
            serve=lambda *known: self.loaded.pop() if self.loaded else known,
            rescue=self.rescued.append)
        self.drops = Drops(self.warned.append)
        logger = types.SimpleNamespace(
            info=self.logged.append, fatal=self.logged.append, debug=self.logged.append)
        config = NodeConfig(map_rate=10.0, render_rate=0.0, render_width=4)
        config = dataclasses.replace(config, **settings)
        self.settings = types.SimpleNamespace(node=config, engine=Config())
        loops = types.SimpleNamespace(
            forget=lambda: None, follow=lambda mapper: None, T_new_old=lambda stamp_ns: np.eye(4))
        intake = Intake(self.settings, ready, loops, way, Traffic(), self.drops, time.time_ns)
        views = Views(
            None, config,
            types.SimpleNamespace(take=lambda: requests.pop(0) if requests else None),
            self.products, self.drops)

        def training(after=None):
            return Training(
                self.make, self.settings, intake, views, self.products, way, self.map_services,
                logger, after)

        self.training, self.thread = training, training()
        self.thread.active = True

    def make(self):
        """Return another engine."""
        self.engines.append(Engine())
        return self.engines[-1]

    @property
    def engine(self):
        """Return the engine in use."""
        return self.engines[-1]

    def _decode(self, posed):
        self.decoded.append(posed.x)
        return IMAGE, posed.depth

    def run(self, seconds=0.3):
        """Run the thread for a while."""
        self.thread.start()
        self.thread.join(seconds)
        self.end()

    def end(self):
        """End the thread."""
        self.thread.end()
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


def test_when_all_is_learnt_it_rests_until_there_is_more():
    rig = Rig([Posed(1, 0.0)])
    rig.thread.start()
    while rig.thread.progress.steps < 5:
        time.sleep(0.01)
    rig.engine.settled = True
    time.sleep(0.3)
    steps, maps = rig.engine.steps, len(rig.maps)
    time.sleep(0.5)
    assert rig.engine.steps == steps and len(rig.maps) == maps  # not ten a second any more
    assert sum('rests' in text for text in rig.logged) == 1
    rig.engine.settled = False  # as the engine says when a keyframe comes
    time.sleep(0.5)
    rig.end()
    assert rig.engine.steps > steps and len(rig.maps) > maps


def test_what_the_engine_refuses_is_counted_and_the_work_goes_on():
    rig = Rig([Posed(1, 0.0), Posed(2, -5.0), Posed(3, 2.0)])
    rig.run()
    assert rig.engine.added == [0.0, 2.0]
    assert rig.drops.counts() == {'refused by the engine': 1}
    assert 'negative x' in rig.warned[0]


def test_images_that_come_faster_than_they_are_taken_do_not_hold_up_training():
    rig = Rig([Posed(1, 0.0)])
    rig.thread._intake._ready = types.SimpleNamespace(
        take=lambda: rig.posed[0], wait=time.sleep)  # there is always another one
    rig.run(0.8)
    assert rig.engine.steps >= 2


def test_an_error_of_the_engine_is_kept_logged_and_ends_the_node():
    rig = Rig([Posed(1, 0.0)])
    engine = Engine()
    engine.step_error = RuntimeError('out of luck')
    rig.thread._make_mapper = lambda: engine
    rig.run(5.0)
    assert str(rig.thread.error) == 'out of luck'
    assert 'Traceback' in rig.logged[-1] and 'out of luck' in rig.logged[-1]
    assert rig.rescued == [engine]


def test_training_leaves_others_their_share_of_the_time():
    rig = Rig([Posed(1, 0.0)], training_share=0.1)
    rig.run(1.0)
    # A step of the engine sleeps for a millisecond: in a second there is time for a hundred.
    assert 0 < rig.engine.steps <= 100


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
    rig = Rig([Posed(1, 0.0)], [Posed(7, 3.0, 'map')], wanted=False, render_rate=30.0)
    rig.run()
    assert rig.views == [] and rig.drops.counts() == {'unwanted view': 1}


def test_requests_are_answered_in_order_between_steps_at_the_size_of_the_camera():
    requests = [Posed(stamp, x, 'map') for stamp, x in ((7, 3.0), (5, 4.0), (6, 5.0))]
    rig = Rig([Posed(1, 0.0)], requests, render_width=0)
    rig.run()
    assert [(view[0], *view[2:]) for view in rig.views] == [
        ((8, 6, 3.0), 7, 'map'), ((8, 6, 4.0), 5, 'map'), ((8, 6, 5.0), 6, 'map')]


def test_a_view_that_takes_long_comes_coarse_first_and_a_request_takes_its_place(monkeypatch):
    monkeypatch.setattr(painter, 'AT_ONCE', 8)  # pixels; the whole has twelve
    monkeypatch.setattr(painter, 'PACE', 1.0)
    rig = Rig([Posed(1, 0.0)], [Posed(7, 3.0, 'map')])
    rig.run()
    assert rig.engine.rendered == [2, 8, 4]  # coarse, two rows, one row
    assert [view[2:] for view in rig.views] == [(7, 'map')] * 2
    assert all(view[0] == (4, 3, 3.0) for view in rig.views)
    rig = Rig([Posed(1, 0.0)], [Posed(stamp, 3.0, 'map') for stamp in (7, 8, 9)])
    rig.run()
    assert [view[2] for view in rig.views] == [7, 8, 9, 9]


@pytest.mark.parametrize('rate', [0.0, 10.0])
def test_the_rate_is_an_upper_bound_and_zero_is_never(rate):
    rig = Rig([Posed(1, 0.0)], map_rate=rate)
    rig.run(0.55)
    assert len(rig.maps) <= 6 if rate else rig.maps == []
    assert bool(rig.maps) == bool(rate)


def test_while_inactive_it_does_nothing_but_make_the_engine():
    rig = Rig([Posed(1, 0.0)])
    rig.thread.active = False
    rig.run()
    assert rig.thread.progress.backend == 'fake'
    assert rig.engine.added == [] and rig.engine.steps == 0 and rig.maps == []


def test_each_activation_publishes_all_anew():
    rig = Rig([Posed(1, 0.0)])
    rig.thread.activate()
    rig.thread.start()
    while not rig.maps:
        time.sleep(0.01)
    rig.thread.active = False
    time.sleep(0.1)
    assert rig.begun == ['products', 'way']
    rig.thread.activate()
    time.sleep(0.2)
    rig.end()
    assert rig.begun == ['products', 'way'] * 2


def test_while_paused_the_map_is_shown_but_not_learnt():
    rig = Rig([Posed(1, 0.0), Posed(2, 1.0)], [Posed(7, 3.0, 'map')])
    rig.thread.start()
    while not rig.engines or not rig.engine.steps or not rig.views:
        time.sleep(0.01)
    rig.thread.paused = True
    time.sleep(0.05)
    steps, maps = rig.engine.steps, len(rig.maps)
    rig.posed.append(Posed(3, 5.0))
    time.sleep(0.3)
    assert rig.engine.steps == steps and rig.engine.added == [0.0, 1.0]
    assert len(rig.maps) > maps
    rig.posed.clear()
    rig.thread.paused = False
    time.sleep(0.1)
    assert rig.engine.steps > steps
    rig.end()


def test_forgetting_begins_anew_and_says_that_nothing_is_known():
    rig = Rig([Posed(1, 0.0), Posed(2, 1.0)])
    rig.thread.start()
    while len(rig.way) < 2 or not rig.maps:
        time.sleep(0.01)
    rig.thread.forget()
    while len(rig.engines) < 2:
        time.sleep(0.01)
    rig.posed.append(Posed(5, 0.5, source=Source(rig._decode)))
    while not rig.way:
        time.sleep(0.01)
    time.sleep(0.2)
    rig.end()
    assert ('unknown', 2) in rig.maps and rig.maps[-1][1] == 5
    assert rig.engine.added == [0.5] == rig.way
    assert rig.thread.progress.keyframes == 1


def test_a_thread_waits_for_the_one_before_it_and_makes_no_engine_if_it_need_not():
    rig, release = Rig(), threading.Event()
    rig.thread._make_mapper = lambda: release.wait(5.0) and Engine()
    rig.thread.start()
    second = rig.training(rig.thread)
    third = rig.training(second)
    for thread in (second, third):
        thread.start()
    rig.thread.end()
    second.end()
    time.sleep(0.1)
    assert rig.engines == []
    release.set()
    while third.progress.backend == '':
        time.sleep(0.01)
    third.end()
    third.join(5.0)
    assert len(rig.engines) == 1


def test_an_error_while_it_ends_is_no_failure():
    rig = Rig([Posed(1, 0.0)])

    def publish(grid, stamp_ns):
        rig.thread.end()
        raise RuntimeError('the publisher is gone')

    rig.products.publish_map = publish
    rig.run(5.0)
    assert rig.thread.error is None


def test_settings_that_change_reach_the_engine_and_the_rates():
    rig = Rig([Posed(1, 0.0)], map_rate=0.0)
    rig.thread.start()
    time.sleep(0.1)
    assert rig.maps == []
    rig.settings.node = dataclasses.replace(rig.settings.node, map_rate=10.0)
    rig.settings.engine = changed = replace(
        rig.settings.engine, {'keyframes.min_translation': 0.5, 'map.max_height': 2.0})
    time.sleep(0.2)
    rig.end()
    assert rig.maps
    assert rig.engine.config is changed and rig.engine.keyframes.config is changed.keyframes


def test_of_two_cameras_that_stand_still_one_image_each_is_kept():
    rig = Rig()
    front, rear = (Source(rig._decode) for _ in range(2))
    rig.posed += [Posed(1, 0.0, source=front), Posed(2, 5.0, source=rear)] + [
        Posed(3 + index, 5.0 * (index % 2), source=(front, rear)[index % 2])
        for index in range(10)]
    rig.posed.append(Posed(20, 1.0, source=front))
    rig.run()
    assert rig.engine.added == [0.0, 5.0, 1.0]


def test_before_a_camera_that_stands_still_one_depth_a_second_counts():
    posed = [Posed(int(k * 1e8), 5.0, depth=k) for k in range(36)]
    rig = Rig([*posed, Posed(int(5e9), 5.0), Posed(int(2e9), 5.0, depth='back')])
    rig.run()
    assert rig.engine.added == [5.0]
    assert rig.engine.glances == [10, 20, 30, 'back']  # time may jump
    assert len(rig.decoded) == 5
    assert rig.maps[-1][1] == int(2e9)  # the stamp of what the map is made of


def test_an_inactive_thread_forgets_as_soon_as_it_can_say_so():
    rig = Rig([Posed(1, 0.0)])
    rig.thread.start()
    while not rig.maps:
        time.sleep(0.01)
    rig.thread.active = False
    time.sleep(0.2)
    rig.thread.forget()
    time.sleep(0.2)
    assert len(rig.engines) == 1 and ('unknown', 1) not in rig.maps
    rig.thread.active = True
    while ('unknown', 1) not in rig.maps:
        time.sleep(0.01)
    rig.end()
    assert len(rig.engines) == 2 and rig.engine.steps == 0


def test_a_loaded_map_takes_the_place_of_the_old_and_obeys_the_settings():
    rig = Rig([Posed(1, 0.0), Posed(2, 1.0)], [Posed(7, 3.0, 'map')])
    rig.thread.start()
    while len(rig.way) < 2 or not rig.engine.steps:
        time.sleep(0.01)
    loaded = Engine()
    loaded.added = [7.0]
    loaded.keyframes.T_world_camera = np.stack([Posed(0, 7.0).T_map_camera])
    rig.loaded.append((loaded, 100))
    while not loaded.steps:
        time.sleep(0.01)
    steps = rig.engine.steps
    assert rig.way == [7.0]
    rig.settings.engine = changed = replace(rig.settings.engine, {'map.max_height': 2.0})
    # The old map had an image from there.
    rig.posed += [Posed(5, 1.0, source=Source(rig._decode))]
    while len(loaded.added) < 2 or loaded.config is not changed:
        time.sleep(0.01)
    rig.end()
    assert rig.engine.steps == steps and rig.engine is not loaded
    assert loaded.added == [7.0, 1.0] and rig.way == [7.0, 1.0]
    assert loaded.threads == {rig.thread}


def test_with_a_loaded_map_views_wait_for_the_first_image():
    rig = Rig([], [Posed(7, 3.0, 'map')])
    loaded = Engine()
    loaded.added = [7.0]
    rig.loaded.append((loaded, 100))
    rig.thread.start()
    while loaded.steps < 5 or not rig.maps:
        time.sleep(0.01)
    assert rig.views == [] and rig.maps[-1][1] == 100
    rig.posed.append(Posed(5, 0.0, source=Source(rig._decode)))
    while not rig.views:
        time.sleep(0.01)
    rig.end()
    assert rig.views[0][2:] == (7, 'map')


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
