"""Poses from TF at a stamp, without waiting: the one who asks comes again."""
from rclpy.time import Time
from tf2_ros import ExtrapolationException, TransformException

from instant_nerf_ros.ros.conversions import matrix_from_transform, nanoseconds


class UnusableError(Exception):
    """Something cannot be used, now or ever; the reason is a short name, the text a sentence."""

    def __init__(self, reason, sentence):
        """Keep the reason apart from the sentence."""
        super().__init__(sentence)
        self.reason = reason


class NotYetError(UnusableError):
    """Something cannot be used now, but perhaps soon."""


def lookup_pose(buffer, target, source, stamp_ns):
    """Return T_target_source (4, 4) at a stamp, interpolated by tf2.

    Raises NotYetError where TF may still come, UnusableError where it will not.
    """
    try:
        stamped = buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
        return matrix_from_transform(stamped.transform)
    except ExtrapolationException as error:
        newest_ns = _newest_common(buffer, target, source)
        if newest_ns is not None and newest_ns >= stamp_ns:
            raise UnusableError('TF too old', (
                f"the TF history of '{source}' in '{target}' begins after this stamp "
                f'({error})')) from error
        gap = 'unknown' if newest_ns is None else f'{(stamp_ns - newest_ns) * 1e-9:.3f} s earlier'
        raise NotYetError('TF too late', (
            f"the newest TF of '{source}' in '{target}' is {gap} ({error})")) from error
    except TransformException as error:
        raise NotYetError(
            'no TF', f"there is no TF from '{source}' to '{target}': start what sends it "
            f'(localisation, odometry), or set map_frame ({error})') from error
    except ValueError as error:
        raise UnusableError('invalid TF', f"'{source}' in '{target}' is {error}") from error


def newest_pose(buffer, target, source):
    """Return the newest T_target_source (4, 4) and its stamp [ns]; UnusableError without TF."""
    try:
        stamped = buffer.lookup_transform(target, source, Time())
        return matrix_from_transform(stamped.transform), nanoseconds(stamped.header.stamp)
    except TransformException as error:
        raise UnusableError(
            'no TF', f"there is no TF from '{source}' to '{target}' ({error})") from error
    except ValueError as error:
        raise UnusableError('invalid TF', f"'{source}' in '{target}' is {error}") from error


def _newest_common(buffer, target, source):
    try:
        return nanoseconds(buffer.lookup_transform(target, source, Time()).header.stamp)
    except TransformException:
        return None
