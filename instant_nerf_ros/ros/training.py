"""The thread that owns the engine: no other one calls the Mapper."""
import dataclasses
import threading
import time
import traceback


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far the engine is; replaced as a whole, so that other threads may read it."""

    backend: str = ''  # '' until the engine is ready
    steps: int = 0
    keyframes: int = 0
    depths: int = 0  # images with depth among those that became keyframes
    loss: float = float('nan')


class Training(threading.Thread):
    """Feeds posed images to the engine, optimises, and publishes what comes of it."""

    def __init__(
        self, make_mapper, config, posed_images, requests, products, map_services, drops, logger,
        stop,
    ):  # fmt: skip
        """Keep what the thread works with: make_mapper() -> Mapper is called in the thread.

        config is a NodeConfig, stop a threading.Event; it ends the thread, and the thread sets
        it when it ends. An exception is logged and kept in error.
        """
        super().__init__(name='training')
        self._make_mapper, self._config = make_mapper, config
        self._posed_images, self._requests, self._products = posed_images, requests, products
        self._map_services = map_services
        self._drops, self._logger, self._stopping = drops, logger, stop
        self._latest = None  # PosedImage
        self._fused_ns = 0  # stamp of the newest image in the map
        self._depths = 0
        self.progress = Progress()
        self.error = None

    def run(self):
        """Work until stop is set."""
        try:
            self._mapper = self._make_mapper()  # compiles: seconds
            self._logger.info(f"the engine runs on backend '{self._mapper.backend}'")
            self._work()
        except Exception as error:
            self.error = error
            self._logger.fatal(f'the training thread ends: {traceback.format_exc()}')
        finally:
            self._stopping.set()
            self._map_services.end()

    def _work(self):
        products = (
            _Periodic(self._config.map_rate, self._publish_map),
            _Periodic(self._config.points_rate, self._publish_points),
            _Periodic(self._config.render_rate, self._publish_latest_view),
        )
        loss = float('nan')
        while not self._stopping.is_set():
            self._add_images()
            self._mapper, self._fused_ns = self._map_services.serve(self._mapper, self._fused_ns)
            if self._mapper.keyframe_count:
                loss = self._mapper.step()['loss']
                for product in products:
                    product.run_if_due()
                self._answer_one_request()
                time.sleep(0.001)  # without the GIL: the executor's turn
            else:
                self._posed_images.wait(0.1)
            self.progress = Progress(
                self._mapper.backend, self._mapper.steps, self._mapper.keyframe_count,
                self._depths, loss)

    def _add_images(self):
        while (posed := self._posed_images.take()) is not None and not self._stopping.is_set():
            self._latest = posed
            if not self._mapper.moved(posed.T_map_camera):
                continue
            decoded = self._posed_images.decode(posed)
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

    def _publish_map(self):
        self._products.publish_map(self._mapper.map(), self._fused_ns)

    def _publish_points(self):
        if self._products.points_wanted():
            self._products.publish_points(*self._mapper.points(), self._fused_ns)

    def _publish_latest_view(self):
        if self._latest is not None and self._products.views_wanted():
            self._publish_view(
                self._latest.T_map_camera, self._latest.stamp_ns, self._latest.frame_id)

    def _answer_one_request(self):
        # After loading a map, the first image tells of which camera the views are.
        request = self._requests.take() if self._latest is not None else None
        if request is not None:
            self._publish_view(request.T_map_camera, request.stamp_ns, request.frame_id)

    def _publish_view(self, T_map_camera, stamp_ns, frame_id):
        camera = self._latest.camera
        if width := self._config.render_width:
            camera = camera.scaled(width, max(1, round(camera.height * width / camera.width)))
        view = self._mapper.render(camera, T_map_camera)
        self._products.publish_view(view, camera, stamp_ns, frame_id)


class _Periodic:
    """Work that rests one period after each run, however long that takes: training goes on."""

    def __init__(self, rate, work):
        """Keep the rate [Hz], 0 for never."""
        self._period = 1.0 / rate if rate else float('inf')
        self._due = 0.0 if rate else float('inf')
        self._work = work

    def run_if_due(self):
        """Do the work if it is time."""
        if time.monotonic() >= self._due:
            self._work()
            self._due = time.monotonic() + self._period
