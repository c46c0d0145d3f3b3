"""What the engine learns from: images and scans that tell something new."""
import time

from instant_nerf_ros.ros.inputs.viewpoints import Motion
from instant_nerf_ros.ros.inputs.range_scans import PosedScan
from instant_nerf_ros.ros.inputs.blur_filter import Sharpest

MOMENT = 0.1  # seconds
GLANCE_NS = 1_000_000_000  # between images with depth that count though they are not kept
BLURRED = 'blurred'  # the reason of a drop


class Intake:
    """Feeds a Mapper; used by the thread that owns it. Only what may be kept is decoded."""

    def __init__(self, settings, ready, loops, way, traffic, drops, now_ns):
        """Keep a Settings, the Ready images and scans, LoopClosures, the Way, and others.

        These are where to report, and a clock.
        """
        self._now_ns = now_ns
        self._settings, self._ready, self._loops, self._way = settings, ready, loops, way
        self._traffic, self._drops = traffic, drops
        self.latest = None  # PosedImage, kept or not
        self.forget(None)

    def forget(self, mapper, stamp_ns=0):
        """Begin anew, with the keyframes of another Mapper, if any, of which the newest is so old.

        What was waiting stays.
        """
        self.fused_ns = stamp_ns  # stamp of the newest image in the map
        self.depths = 0  # images with depth among those that became keyframes
        self.scans = 0  # that were kept
        self._loops.forget()
        self._motion = Motion()
        self._sharpest = {}  # source: Sharpest
        self._counted_ns = {}  # source: stamp of the last image with depth that counted
        if mapper is None:
            self.latest = None
            return
        for T_map_camera in mapper.keyframes.T_world_camera:
            self._way.add(T_map_camera, stamp_ns)

    def wait(self, timeout):
        """Wait at most timeout seconds for something to feed."""
        self._ready.wait(timeout)

    def feed(self, mapper, ending):
        """Give the mapper what is ready, for a moment, or until ending is set (threading.Event).

        What comes faster than it can be taken must not hold up training.
        """
        self._loops.follow(mapper)
        end = time.monotonic() + MOMENT
        while (time.monotonic() < end and not ending.is_set()
                and (posed := self._ready.take()) is not None):
            if isinstance(posed, PosedScan):
                self._feed_scan(mapper, posed)
            else:
                self.latest = posed
                self._feed_image(mapper, posed)

    def _feed_scan(self, mapper, posed):
        moved = self._motion.moved(
            posed.source, posed.T_map_sensor, self._settings.engine.keyframes)
        rays = posed.source.decode(posed) if moved else None
        if rays is not None:
            number = mapper.keyframes.count
            T_new_old = self._loops.T_new_old(posed.stamp_ns)
            mapper.add_ranges(*(
                points @ T_new_old[:3, :3].T + T_new_old[:3, 3] for points in rays))
            if mapper.keyframes.count > number:
                self._loops.note(number, posed.stamp_ns)
            self._motion.keep(posed.source, posed.T_map_sensor)
            self.scans += 1

    def _pose(self, posed):
        """Return T_map_camera (4, 4) of an image."""
        return self._loops.T_new_old(posed.stamp_ns) @ posed.T_map_camera

    def _feed_image(self, mapper, posed):
        if not mapper.moved(self._pose(posed)):
            self._glance(mapper, posed)
            return
        decoded = posed.source.decode(posed)
        if decoded is None:
            return
        sharpest = self._sharpest.setdefault(
            posed.source, Sharpest(lambda blurred: self._drops.count(BLURRED)))
        if (kept := sharpest.offer(decoded[0], posed.stamp_ns, (posed, *decoded))) is not None:
            self._keep(mapper, *kept)

    def _glance(self, mapper, posed):
        """Let maps follow what comes and goes before a camera that does not move."""
        since_ns = posed.stamp_ns - self._counted_ns.get(posed.source, -GLANCE_NS)
        if not mapper.keyframe_count or posed.depth is None or 0 <= since_ns < GLANCE_NS:
            return
        decoded = posed.source.decode(posed)
        if decoded is None or decoded[1] is None:
            return
        image, depth = decoded
        try:
            mapper.glance(image, posed.camera, self._pose(posed), depth)
        except ValueError as error:
            self._drops.add('refused by the engine', str(error))
            return
        self.fused_ns = posed.stamp_ns
        self._counted_ns[posed.source] = posed.stamp_ns

    def _keep(self, mapper, posed, image, depth):
        T_map_camera, number = self._pose(posed), mapper.keyframes.count
        if mapper.keyframe_count and mapper.held_out.takes(
                image, posed.camera, T_map_camera, number):
            self._loops.note(mapper.keyframes.take_number(), posed.stamp_ns)
            return
        try:
            if mapper.add(image, posed.camera, T_map_camera, depth):
                self._loops.note(number, posed.stamp_ns)
        except ValueError as error:
            self._drops.add('refused by the engine', str(error))
            return
        self.fused_ns = posed.stamp_ns
        self._traffic.delayed((self._now_ns() - posed.stamp_ns) * 1e-9)
        if depth is not None:
            self.depths += 1
            self._counted_ns[posed.source] = posed.stamp_ns
        self._way.add(T_map_camera, posed.stamp_ns)
