"""The thread that owns the engine: no other one calls the Mapper."""
import dataclasses
import threading
import time
import traceback

from instant_nerf_ros.ros.motion import Motion
from instant_nerf_ros.ros.periodic import Periodic

RESTING_PERIOD = 10.0  # s between publications of what does not change any more


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far the engine is; replaced as a whole, so that other threads may read it."""

    backend: str = ''  # '' until the engine is ready
    steps: int = 0
    discarded: int = 0  # steps whose loss was not finite
    keyframes: int = 0
    depths: int = 0  # images with depth among those that became keyframes
    loss: float = float('nan')
    fused_ns: int = 0  # stamp of the newest image in the map


class Training(threading.Thread):
    """Feeds posed images to the engine, optimises, and publishes what comes of it.

    It lives from configure to cleanup, and works while it is active. Whatever may take long
    happens in it: the engine is made when it starts, and made anew when the map is forgotten.
    """

    def __init__(
        self, make_mapper, settings, ready, views, products, way, map_services, drops, logger,
        after,
    ):  # fmt: skip
        """Keep what the thread works with: make_mapper() -> Mapper is called in the thread.

        settings is a Settings, ready the ReadyImages; after is the Training before this one,
        whose end it waits for, or None. An exception is logged and kept in error.
        """
        super().__init__(name='training')
        self._make_mapper, self._settings = make_mapper, settings
        self._ready, self._views, self._products, self._way = ready, views, products, way
        self._map_services = map_services
        self._drops, self._logger, self._after = drops, logger, after
        self._ending = threading.Event()
        self._forgetting = threading.Event()
        self.active = False  # to be set by the owner, as the node is activated
        self.paused = False  # neither takes images nor optimises, but still shows the map
        self.resting = False  # for want of anything new
        self._latest = None  # PosedImage
        self._motion = Motion()
        self._depths, self._fused_ns, self._loss = 0, 0, float('nan')
        self._mapper = None
        self.progress = Progress()
        self.error = None

    def end(self):
        """Let the thread end soon; returns at once."""
        self._ending.set()

    def forget(self):
        """Let the thread forget the map before its next step or service; returns at once."""
        self._forgetting.set()

    def run(self):
        """Work until end() is called."""
        try:
            if self._after:
                self._after.join()  # two engines at a time may be more than the memory holds
                self._after = None
            if not self._ending.is_set():
                self._start()
                self._work()
        except Exception as error:
            if self._ending.is_set():  # its publishers are gone already
                self._logger.debug(f'while ending: {traceback.format_exc()}')
                return
            self.error = error
            self._logger.fatal(f'the training thread ends: {traceback.format_exc()}')
        finally:
            self._mapper = None

    def _start(self):
        self._mapper = None  # the memory of the last one is free before the next takes its own
        self._mapper = self._make_mapper()
        self._logger.info(
            f"the engine runs on backend '{self._mapper.backend}'; at its very first image, once "
            'after an installation, it compiles for a minute or two')

    def _work(self):
        config = self._settings
        products = (
            Periodic(lambda: config.node.map_rate, self._publish_map),
            Periodic(lambda: config.node.points_rate, self._publish_volumes),
            Periodic(lambda: config.node.keyframes_rate, self._publish_way),
            Periodic(lambda: config.node.render_rate, self._publish_latest_view),
        )
        while not self._ending.is_set():
            if self._forgetting.is_set() and self.active:  # or nobody would be told
                self._forgetting.clear()
                self._forget()
            self._tune()
            if self.active:
                self._work_once(products)
            else:
                self._ending.wait(0.05)
            self.progress = Progress(
                self._mapper.backend, self._mapper.steps, self._mapper.discarded,
                self._mapper.keyframe_count, self._depths, self._loss, self._fused_ns)

    def _work_once(self, products):
        if not self.paused:
            self._add_images()
        self._serve()
        if not self._mapper.keyframe_count:
            self._ready.wait(0.1)
            return
        if self.paused:
            self._ending.wait(0.02)
        elif self._mapper.settled:
            self._ready.wait(0.1)
        else:
            self._loss = self._mapper.step()['loss']
        self._note_rest(self._mapper.settled)
        for product in products:
            product.run_if_due(RESTING_PERIOD if self.resting else 0.0)
        if self._latest is not None:  # a loaded map may be there before the first image
            self._views.answer_one_request(self._mapper, self._latest)
        time.sleep(0.001)  # without the GIL: the executor's turn

    def _note_rest(self, resting):
        if resting and not self.resting:
            self._logger.info('all is learnt: training rests until another keyframe comes')
        self.resting = resting

    def _tune(self):
        """Let the engine take over what was changed; it reads these at each use."""
        config = self._settings.engine
        if config is not self._mapper.config:
            self._mapper.config, self._mapper.keyframes.config = config, config.keyframes

    def _forget(self):
        self._start()
        self._motion.clear()
        self._latest, self._depths, self._loss = None, 0, float('nan')
        self._products.publish_nothing_known(self._fused_ns)
        self._way.clear(self._fused_ns)
        self._fused_ns = 0
        self._logger.info('the map is forgotten')

    def _serve(self):
        mapper, stamp_ns = self._map_services.serve(self._mapper, self._fused_ns)
        if mapper is self._mapper:
            return
        self._mapper, self._fused_ns = mapper, stamp_ns
        self._depths, self._loss = 0, float('nan')
        self._motion.clear()
        self._way.clear(stamp_ns)
        for T_map_camera in mapper.keyframes.T_world_camera:
            self._way.add(T_map_camera, stamp_ns)

    def _add_images(self):
        while (posed := self._ready.take()) is not None and not self._ending.is_set():
            self._latest = posed
            if not self._wanted(posed):
                continue
            decoded = posed.source.decode(posed)
            if decoded is None:
                continue
            image, depth = decoded
            try:
                self._mapper.add(image, posed.camera, posed.T_map_camera, depth)
            except ValueError as error:
                self._drops.add('refused by the engine', str(error))
            else:
                self._fused_ns = posed.stamp_ns
                self._depths += depth is not None
                self._motion.keep(posed.source, posed.T_map_camera)
                self._way.add(posed.T_map_camera, posed.stamp_ns)

    def _wanted(self, posed):
        return self._mapper.moved(posed.T_map_camera) and self._motion.moved(
            posed.source, posed.T_map_camera, self._settings.engine.keyframes)

    def _publish_map(self):
        self._products.publish_map(self._mapper, self._fused_ns)

    def _publish_volumes(self):
        self._products.publish_volumes(
            self._mapper, self._settings.node.distance_height, self._fused_ns)

    def _publish_way(self):
        self._way.publish(self._mapper.keyframes.T_world_camera, self._fused_ns)

    def _publish_latest_view(self):
        if self._latest is not None:
            self._views.publish_latest(self._mapper, self._latest)
