"""The calibrations of a camera over time: each image gets that of its own stamp."""
import collections
import dataclasses
from collections.abc import Callable

from sensor_msgs.msg import CameraInfo

from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.inputs.calibration import (
    camera_from_message,
    is_rectified,
    suspicions,
)
from instant_nerf_ros.ros.inputs.tf_lookup import NotYetError, UnusableError, frame_name
from instant_nerf_ros.ros.reporting.dropped_messages import stamp

HISTORY = 200  # CameraInfo messages
MAX_LEAD_NS = 1_000_000_000  # by which a CameraInfo may come before that of an earlier image
SAME_STAMP_NS = 1_000_000  # between stamps that differ by rounding only


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What a CameraInfo says about the images of its frame."""

    frame_id: str  # the optical frame; '' for that of the image
    camera: Camera | None
    error: str = ''  # why there is no camera

    def usable_camera(self) -> Camera:
        """Return the camera. Raises UnusableError if there is none."""
        if self.camera is None:
            raise UnusableError('invalid camera_info', f"of '{self.frame_id}': {self.error}")
        return self.camera


class CameraHistory:
    """Finds the calibration of each image, in whatever order the messages arrive.

    A driver that publishes a CameraInfo with each image stamps both alike, up to SAME_STAMP_NS.
    Then an image waits for its own one, unless those before and after it are the same. Otherwise,
    a calibration holds from its stamp on.
    """

    def __init__(
        self, rectification: str, image_topic: str, warn: Callable[[str], object],
    ) -> None:  # fmt: skip
        """Use NodeConfig.rectification; for 'auto' see is_rectified. Call warn(sentence)."""
        self._rectification, self._image_topic, self._warn = rectification, image_topic, warn
        self._infos: collections.deque[tuple[int, Calibration]] = collections.deque(
            maxlen=HISTORY)
        self._fields: tuple | None = None  # the relevant ones of the latest CameraInfo
        self._latest = Calibration('', None, 'none has arrived')
        self._foreign = ''  # a frame of camera_info that is not that of the images
        self._stamped_alike = False  # a CameraInfo had exactly the stamp of an image
        self._found: collections.deque[int] = collections.deque(maxlen=HISTORY)  # image stamps

    def __bool__(self) -> bool:
        """Return whether a CameraInfo has arrived."""
        return bool(self._infos)

    def add(self, message: CameraInfo) -> None:
        """Add a CameraInfo."""
        fields = (
            message.header.frame_id, message.width, message.height, message.distortion_model,
            tuple(message.d), tuple(message.k), tuple(message.p), tuple(message.r),
            message.binning_x, message.binning_y, message.roi)
        if fields != self._fields:
            self._fields, self._latest = fields, self._converted(message)
        info = stamp(message), self._latest
        if not self._infos or info != self._infos[-1]:  # two subscriptions may both deliver it
            self._infos.append(info)
        self._stamped_alike |= any(
            abs(found_ns - info[0]) <= SAME_STAMP_NS for found_ns in self._found)

    def clear(self) -> None:
        """Forget all stamps, as after a jump back in time; the latest calibration holds."""
        latest = [(0, calibration) for _, calibration in list(self._infos)[-1:]]
        self._infos = collections.deque(latest, maxlen=HISTORY)
        self._found.clear()
        self._stamped_alike = False

    def at(self, stamp_ns: int, frame_id: str, expired: bool) -> tuple[Calibration, bool]:
        """Return the calibration of an image, and whether it is settled.

        If it is not, that of the image itself may still arrive, until the wait has expired. Those
        of the frame of the image are preferred, as two cameras may share the topic. Raises
        NotYetError before the first CameraInfo, UnusableError if it is not known which one of two
        different calibrations the image has.
        """
        if not self._infos:
            raise NotYetError('no camera_info', (
                'none has arrived: remap camera_info to the topic of the camera'))
        frame = frame_name(frame_id)
        infos = [info for info in self._infos if info[1].frame_id == frame]
        calibration, settled = self._select(infos or list(self._infos), stamp_ns, expired)
        if frame and calibration.frame_id not in (frame, '', self._foreign):
            self._foreign = calibration.frame_id
            self._warn(
                f"the image is in '{frame}', its camera_info in '{self._foreign}', whose pose is "
                'used: correct the frame in the driver, or remap camera_info')
        if settled:
            self._found.append(stamp_ns)
        return calibration, settled

    def _select(
        self, infos: list[tuple[int, Calibration]], stamp_ns: int, expired: bool,
    ) -> tuple[Calibration, bool]:  # fmt: skip
        # Of equal distances, the one that came last.
        nearest = min(reversed(infos), key=lambda info: abs(info[0] - stamp_ns))
        if abs(nearest[0] - stamp_ns) <= SAME_STAMP_NS:
            self._stamped_alike = True
            return nearest[1], True
        before = max((info for info in infos if info[0] < stamp_ns), default=None, key=_stamp_of)
        after = min((info for info in infos if info[0] > stamp_ns), default=None, key=_stamp_of)
        if before is None:
            assert after is not None  # infos is not empty
            # The stamps of another clock say nothing.
            return after[1], expired or after[0] - stamp_ns > MAX_LEAD_NS
        if after is None:
            settled = expired or not self._stamped_alike
            self._stamped_alike &= not expired  # it is published no longer, or at a lower rate
            return before[1], settled
        if before[1] != after[1] and not (self._stamped_alike and not expired):
            raise UnusableError('camera_info changed', (
                f'the camera_info of {after[0] * 1e-9:.9f} differs from that of '
                f'{before[0] * 1e-9:.9f}, and none has the stamp of the image: if two cameras '
                'publish on this topic, remap one of them; otherwise publish a camera_info with '
                'each image'))
        return before[1], before[1] == after[1]

    def _converted(self, message: CameraInfo) -> Calibration:
        frame_id = frame_name(message.header.frame_id)
        rectified = (
            is_rectified(message, self._image_topic) if self._rectification == 'auto'
            else self._rectification == 'rectified')
        try:
            camera = camera_from_message(message, rectified)
        except ValueError as error:
            return Calibration(frame_id, None, str(error))
        for sentence in suspicions(message, rectified, self._image_topic):
            self._warn(f"camera_info of '{frame_id}': {sentence}")
        return Calibration(frame_id, camera)


def _stamp_of(info: tuple[int, Calibration]) -> int:
    return info[0]
