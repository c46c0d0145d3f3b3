"""Poses from TF at a stamp, without blocking: the caller tries again later."""
import numpy as np
from numpy.typing import NDArray
from rclpy.time import Time
from tf2_ros import Buffer, ExtrapolationException, TransformException

from instant_nerf_ros.nerf.angular_velocity import angular_velocity
from instant_nerf_ros.ros.conversions import matrix_from_transform, nanoseconds

HALF_NS = 50_000_000  # before and after an image, of the poses that say how fast a camera turns
NO_STAMP = 'its stamp is zero, which TF takes for the latest time: set the stamp in the driver'


class UnusableError(Exception):
    """A message cannot be used, now or later."""

    def __init__(self, reason: str, sentence: str) -> None:
        """Keep the short reason by which drops are counted; the sentence becomes the text."""
        super().__init__(sentence)
        self.reason = reason


class NotYetError(UnusableError):
    """A message cannot be used yet, because something that belongs to it has not arrived."""


def frame_name(frame_id: str) -> str:
    """Return a frame id without the leading slash of ROS 1, as tf2 stores it."""
    return frame_id.removeprefix('/')


def lookup_pose(buffer: Buffer, target: str, source: str, stamp_ns: int) -> NDArray[np.float64]:
    """Return T_target_source (4, 4) at a stamp [ns], interpolated by tf2.

    Raises NotYetError if the transform may still arrive, UnusableError if it cannot.
    """
    target, source = frame_name(target), frame_name(source)
    try:
        stamped = buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
        return matrix_from_transform(stamped.transform)
    except ExtrapolationException as error:
        newest_ns = _newest_stamp(buffer, target, source)
        if newest_ns is not None and newest_ns >= stamp_ns:
            raise UnusableError('TF too old', (
                f"the TF history of '{source}' in '{target}' begins after this stamp: increase "
                f"'tf_buffer', or synchronize the clocks of the sensors ({error})")) from error
        gap = 'unknown' if newest_ns is None else f'{(stamp_ns - newest_ns) * 1e-9:.3f} s earlier'
        raise NotYetError('TF too late', (
            f"the newest TF of '{source}' in '{target}' is {gap}: increase 'tf_timeout', or "
            f'synchronize the clocks of the sensors ({error})')) from error
    except TransformException as error:
        raise NotYetError(
            'no TF', f"there is no TF from '{source}' to '{target}': start the node that "
            f'broadcasts it (localization, odometry), or set map_frame ({error})') from error
    except ValueError as error:
        raise _invalid(target, source, error) from error


def lookup_angular_velocity(
    buffer: Buffer, target: str, source: str, stamp_ns: int,
    T_target_source: NDArray[np.float64],
) -> NDArray[np.float64] | None:  # fmt: skip
    """Return that of the source (3,) [rad/s], in its own frame, around a stamp; None if unknown.

    T_target_source (4, 4) is the pose at the stamp. Where TF ends there, the result is the angular
    velocity of the time before.
    """
    try:
        before = lookup_pose(buffer, target, source, stamp_ns - HALF_NS)
    except UnusableError:
        return None
    try:
        after, end_ns = lookup_pose(buffer, target, source, stamp_ns + HALF_NS), HALF_NS
    except UnusableError:
        after, end_ns = T_target_source, 0
    return angular_velocity(before, after, (HALF_NS + end_ns) * 1e-9)


def newest_pose(buffer: Buffer, target: str, source: str) -> tuple[NDArray[np.float64], int]:
    """Return the newest T_target_source (4, 4) and its stamp [ns].

    Raises UnusableError without TF.
    """
    target, source = frame_name(target), frame_name(source)
    try:
        stamped = buffer.lookup_transform(target, source, Time())
        return matrix_from_transform(stamped.transform), nanoseconds(stamped.header.stamp)
    except TransformException as error:
        raise UnusableError(
            'no TF', f"there is no TF from '{source}' to '{target}' ({error})") from error
    except ValueError as error:
        raise _invalid(target, source, error) from error


def _invalid(target: str, source: str, error: ValueError) -> UnusableError:
    return UnusableError(
        'invalid TF', f"'{source}' in '{target}' is {error}: correct the node that broadcasts it")


def _newest_stamp(buffer: Buffer, target: str, source: str) -> int | None:
    """Return the newest stamp [ns] at which all transforms between two frames are known."""
    try:
        return nanoseconds(buffer.lookup_transform(target, source, Time()).header.stamp)
    except TransformException:
        return None
