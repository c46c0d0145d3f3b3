"""The thread that owns the engine: no other one calls the Mapper."""
import threading
import time
import traceback

from instant_nerf_ros.ros.duty_cycle import Pace
from instant_nerf_ros.ros.periodic import Periodic
from instant_nerf_ros.ros.reporting.progress import Progress

PSNR_RATE = 0.2  # Hz
RESTING_PERIOD = 10.0  # s between publications of what does not change any more


class Training(threading.Thread):
    """Feeds posed images to the engine, optimises, and publishes what comes of it.

    It lives from configure to cleanup, and works while it is active. Whatever may take long
    happens in it: the engine is made when it starts, and made anew when the map is forgotten.
    """

    def __init__(
        self, make_mapper, settings, intake, views, products, way, map_services, logger, after,
    ):  # fmt: skip
        """Keep what the thread works with: make_mapper() -> Mapper is called in the thread.

        after is the Training before this one, whose end it waits for, or None. An exception is
        logged and kept in error.
        """
        super().__init__(name='training')
        self._make_mapper, self._settings = make_mapper, settings
        self._intake, self._views, self._products, self._way = intake, views, products, way
        self._map_services, self._logger, self._after = map_services, logger, after
        self._ending = threading.Event()
        self._forgetting, self._beginning = threading.Event(), threading.Event()
        self.active = False  # to be unset by the owner, as the node is deactivated
        self.paused = False  # neither takes images nor optimises, but still shows the map
        self.resting = False  # for want of anything new
        self._loss = self._psnr = float('nan')
        self._pace = Pace()
        self._mapper = None
        self.progress = Progress()
        self.error = None

    def activate(self):
        """Let the thread work, and publish all anew; returns at once."""
        self._beginning.set()
        self.active = True

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
            self._map_services.rescue(self._mapper)
        finally:
            self._mapper = None

    def _start(self):
        self._mapper = None  # the memory of the last one is free before the next takes its own
        self._views.abandon()
        self._logger.info(
            'the engine starts; once after an installation it compiles for a minute or two')
        self._mapper = self._make_mapper()
        self._logger.info(f"the engine runs on backend '{self._mapper.backend}'")

    def _work(self):
        config = self._settings
        products = (
            Periodic(lambda: config.node.map_rate, self._publish_map),
            Periodic(lambda: config.node.points_rate, self._publish_volumes),
            Periodic(lambda: config.node.keyframes_rate, self._publish_way),
            Periodic(lambda: config.node.render_rate, self._publish_latest_view),
            Periodic(lambda: PSNR_RATE, self._measure),
        )
        while not self._ending.is_set():
            if self._forgetting.is_set() and self.active:  # or nobody would be told
                self._forgetting.clear()
                self._forget()
            if self._beginning.is_set() and self.active:
                self._beginning.clear()
                self._products.begin_anew()
                self._way.begin_anew()
            self._tune()
            if self.active:
                self._work_once(products)
            else:
                self._ending.wait(0.05)
            self.progress = Progress(
                self._mapper.backend, self._mapper.steps, self._mapper.discarded,
                self._mapper.keyframe_count, self._mapper.keyframes.stored, self._intake.depths,
                self._intake.scans, self._loss, self._psnr, self._intake.fused_ns)

    def _work_once(self, products):
        if not self.paused:
            self._intake.feed(self._mapper, self._ending)
        self._serve()
        if not self._mapper.keyframe_count:
            self._intake.wait(0.1)
            return
        if self.paused:
            self._ending.wait(0.02)
        elif self._mapper.settled:
            self._intake.wait(0.1)
        elif self._pace.due():
            self._loss = self._pace.step(self._mapper, self._settings.node.training_share)
        else:
            self._ending.wait(0.002)
        self._note_rest(self._mapper.settled)
        for product in products:
            product.run_if_due(RESTING_PERIOD if self.resting else 0.0)
        if self._intake.latest is not None:  # a loaded map may be there before the first image
            self._views.answer_one_request(self._mapper, self._intake.latest)
        time.sleep(0)  # lets go of the GIL: the executor's turn

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
        stamp_ns = self._intake.fused_ns
        self._intake.forget(None)
        self._loss = self._psnr = float('nan')
        self._products.publish_nothing_known(stamp_ns)
        self._way.clear(stamp_ns)
        self._logger.info('the map is forgotten')

    def _serve(self):
        mapper, stamp_ns = self._map_services.serve(self._mapper, self._intake.fused_ns)
        if mapper is self._mapper:
            return
        self._mapper = mapper
        self._views.abandon()
        self._loss = self._psnr = float('nan')
        self._way.clear(stamp_ns)
        self._intake.forget(mapper, stamp_ns)

    def _measure(self):
        self._psnr = self._mapper.held_out.psnr(self._mapper)

    def _publish_map(self):
        self._products.publish_map(self._mapper, self._intake.fused_ns)

    def _publish_volumes(self):
        self._products.publish_volumes(
            self._mapper, self._settings.node.distance_height, self._intake.fused_ns)

    def _publish_way(self):
        self._way.publish(self._mapper.keyframes.T_world_camera, self._intake.fused_ns)

    def _publish_latest_view(self):
        if self._intake.latest is not None:
            self._views.publish_latest(self._mapper, self._intake.latest)
