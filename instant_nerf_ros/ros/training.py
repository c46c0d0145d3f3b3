"""TrainingThread: the thread that owns the Mapper; no other thread calls it."""
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from rclpy.impl.rcutils_logger import RcutilsLogger

from instant_nerf_ros.ros.duty_cycle import DutyCycle
from instant_nerf_ros.ros.inputs.keyframe_feeder import KeyframeFeeder
from instant_nerf_ros.ros.outputs.output_schedule import OutputSchedule
from instant_nerf_ros.ros.params.live_parameters import LiveParameters
from instant_nerf_ros.ros.periodic import Periodic
from instant_nerf_ros.ros.reporting.progress import Progress

if TYPE_CHECKING:
    from instant_nerf_ros.nerf import Mapper
    from instant_nerf_ros.ros.outputs.map_services import MapServices
    from instant_nerf_ros.session.recorder import Recorder

PSNR_RATE = 0.2  # Hz
CONVERGED_PERIOD = 10.0  # s between publications of a map that does not change any more


class TrainingThread(threading.Thread):
    """Feeds images and scans to the Mapper, trains it, and publishes its results.

    It lives from the configure to the cleanup transition, and works while it is active. All slow
    work is done here: the engine is started, and started again after the map was reset.
    """

    def __init__(
        self, make_mapper: 'Callable[[], Mapper]', parameters: LiveParameters,
        feeder: KeyframeFeeder, outputs: OutputSchedule, map_services: 'MapServices',
        recorder: 'Recorder', logger: RcutilsLogger, previous: 'TrainingThread | None',
    ) -> None:  # fmt: skip
        """Keep the parts; make_mapper() is called in the thread, after the previous has ended.

        An exception in the thread is logged and kept in `error`.
        """
        super().__init__(name='training')
        self._make_mapper, self._parameters, self._feeder = make_mapper, parameters, feeder
        self._outputs, self._map_services = outputs, map_services
        self._recorder, self._logger, self._previous = recorder, logger, previous
        self._active = self._paused = self._converged = False
        self._stopping = threading.Event()
        self._reset_requested, self._activated = threading.Event(), threading.Event()
        self._loss = self._psnr = float('nan')
        self._duty_cycle, self._psnr_period = DutyCycle(), Periodic(lambda: PSNR_RATE)
        self._mapper: Mapper | None = None  # until the engine has started
        self.progress = Progress()
        self.error: Exception | None = None

    @property
    def paused(self) -> bool:
        """Return whether mapping is paused."""
        return self._paused

    @property
    def activity(self) -> str:
        """Return what keeps the thread from feeding the Mapper, '' if nothing does."""
        return self._map_services.activity if self._mapper else 'starting the engine'

    def activate(self) -> None:
        """Start working, and publish everything once; returns at once."""
        self._activated.set()
        self._active = True

    def deactivate(self) -> None:
        """Stop working, and keep the map; returns at once."""
        self._active = False

    def set_paused(self, paused: bool) -> None:
        """Pause or resume mapping and training; the map is published meanwhile."""
        self._paused = paused

    def reset(self) -> None:
        """Discard the map before the next step or request; returns at once."""
        self._reset_requested.set()

    def stop(self) -> None:
        """End the thread soon; returns at once."""
        self._stopping.set()

    def finish_session(self, timeout: float) -> None:
        """Write what the session has in memory, at most timeout [s], while the thread is busy."""
        if problem := self._recorder.finish(timeout):
            self._logger.error(problem)

    def run(self) -> None:
        """Work until stop() is called."""
        try:
            if self._previous:
                self._previous.join()  # the memory may not suffice for two engines
                self._previous = None
            while not self._stopping.is_set():
                self._iterate()
        except Exception as error:
            if self._stopping.is_set():  # the publishers are destroyed already
                self._logger.debug(f'while stopping: {traceback.format_exc()}')
                return
            self.error = error
            self._logger.fatal(f'the training thread has failed: {traceback.format_exc()}')
            self._map_services.rescue(self._mapper)
        finally:
            if problem := self._recorder.close(None if self.error else self._mapper):
                self._logger.error(problem)
            self._mapper = None

    def _iterate(self) -> None:
        """Feed, train and publish once, if the thread is active."""
        if self._active and self._reset_requested.is_set():  # inactive, publishers are silent
            self._reset_requested.clear()
            self._reset_map()
        if self._active and self._activated.is_set():
            self._activated.clear()
            self._outputs.invalidate()
        if self._mapper is None:
            self._mapper = self._start_engine()
        config = self._parameters.engine
        if self._mapper.config is not config:
            self._mapper.set_config(config)
        if self._active:
            self._work(self._mapper)
        else:
            self._stopping.wait(0.05)
        self.progress = self._snapshot(self._mapper)

    def _start_engine(self) -> 'Mapper':
        self._logger.info(
            'starting the engine; after an installation, it first compiles for a minute or two')
        mapper = self._make_mapper()
        self._logger.info(f"the engine runs on backend '{mapper.backend_name}'")
        if resumed := self._recorder.begin(mapper):
            for sentence in resumed.sentences:
                self._logger.warning(f'session: {sentence}')
            self._feeder.resume(mapper, resumed.stamps)
        return mapper

    def _work(self, mapper: 'Mapper') -> None:
        trains = mapper.keyframe_count and not mapper.converged
        if not self._paused and (self._duty_cycle.images_due() or not trains):
            self._duty_cycle.take_images(lambda: self._feeder.feed(mapper, self._stopping))
        self._recorder.update(mapper)
        mapper = self._handle_request(mapper)
        if not mapper.keyframe_count:
            self._feeder.wait(0.1)
            return
        if self._paused:
            self._stopping.wait(0.02)
        elif mapper.converged:
            self._feeder.wait(0.1)
        elif self._duty_cycle.due():
            self._loss = self._duty_cycle.step(mapper, self._parameters.node.training_share)
        else:
            self._stopping.wait(0.002)
        if mapper.converged and not self._converged:
            self._logger.info('the field has converged: training rests until the next keyframe')
        self._converged = mapper.converged
        min_period = CONVERGED_PERIOD if self._converged else 0.0
        self._outputs.publish_due(
            mapper, self._feeder.latest, self._feeder.map_stamp_ns, min_period)
        if self._psnr_period.due(min_period):
            self._psnr = mapper.psnr()
            self._psnr_period.done()
        time.sleep(0)  # releases the GIL for the executor

    def _handle_request(self, mapper: 'Mapper') -> 'Mapper':
        """Handle a request of the map services; return the Mapper, another one after loading."""
        loaded, stamp_ns = self._map_services.handle_next(mapper, self._feeder.map_stamp_ns)
        if loaded is not mapper:
            self._mapper = loaded
            self._clear_figures()
            self._outputs.start_path(stamp_ns)
            self._feeder.reset(loaded, stamp_ns)
            self._recorder.replace(loaded, stamp_ns)
        return loaded

    def _reset_map(self) -> None:
        stamp_ns = self._feeder.map_stamp_ns
        self._mapper = None  # its memory is free before another engine is started
        self.progress = Progress()
        self._clear_figures()
        self._feeder.reset(None)
        self._outputs.publish_unknown(stamp_ns)
        self._logger.info('the map was reset')

    def _clear_figures(self) -> None:
        self._loss = self._psnr = float('nan')
        self._converged = False

    def _snapshot(self, mapper: 'Mapper') -> Progress:
        feeder = self._feeder
        session, problem = self._recorder.status()
        return Progress(
            backend=mapper.backend_name, steps=mapper.steps, discarded=mapper.discarded,
            keyframes=mapper.keyframe_count, keyframe_bytes=mapper.keyframes.stored_bytes,
            images_with_depth=feeder.depths, scans=feeder.scans, loss=self._loss,
            psnr=self._psnr, correction=mapper.measurements.depth_alignment.correction,
            map_stamp_ns=feeder.map_stamp_ns, converged=self._converged,
            session=session, session_problem=problem)
