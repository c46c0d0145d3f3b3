"""The tree of frames and its past."""
import math
import threading

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time

from tf2_ros.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from tf2_ros.history import MovingHistory, StaticHistory, seconds
from tf2_ros.transform import Transform

QUATERNION_TOLERANCE = 0.01  # of the squared norm


class Buffer:
    """Answers where one frame was in another at a time; safe to use from several threads."""

    def __init__(self, cache_time=None, node=None):
        """Reach back `cache_time` (Duration, 10 s); forget when the clock of `node` jumps back."""
        self._cache_time = (cache_time or Duration(seconds=10)).nanoseconds
        self._changed = threading.Condition()
        self._frames = set()
        self._histories = {}  # child frame: its transforms to its parent
        if node is not None:
            self._jump_handle = node.get_clock().create_jump_callback(
                JumpThreshold(
                    min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True),
                post_callback=lambda _: self.clear())

    def set_transform(self, transform, authority):
        """Take in a TransformStamped of a frame that moves."""
        self._insert(transform, authority, MovingHistory)

    def set_transform_static(self, transform, authority):
        """Take in a TransformStamped that holds at any time."""
        self._insert(transform, authority, StaticHistory)

    def clear(self):
        """Forget the past; frames that do not move stay."""
        with self._changed:
            for history in self._histories.values():
                history.clear()

    def can_transform(self, target_frame, source_frame, time, timeout=Duration()):
        """Wait up to `timeout` of wall time for a transform; return whether there is one."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._available(target_frame, source_frame, time),
                timeout.nanoseconds / 1e9)

    def lookup_transform(self, target_frame, source_frame, time, timeout=Duration()):
        """Return the TransformStamped that maps points of the source frame to the target frame.

        Time() asks for the latest time common to all frames between. Waits up to `timeout` of
        wall time, while another thread has to spin the listener. Raises a TransformException
        that says what is missing.
        """
        with self._changed:
            self.can_transform(target_frame, source_frame, time, timeout)
            stamp, transform = self._lookup(target_frame, source_frame, time.nanoseconds)
        message = TransformStamped()
        message.header.stamp = Time(nanoseconds=stamp).to_msg()
        message.header.frame_id = target_frame
        message.child_frame_id = source_frame
        v, q = message.transform.translation, message.transform.rotation
        v.x, v.y, v.z = transform.translation.tolist()
        q.x, q.y, q.z, q.w = transform.rotation.tolist()
        return message

    def _insert(self, message, authority, kind):
        parent = message.header.frame_id.lstrip('/')
        child = message.child_frame_id.lstrip('/')
        stamp = message.header.stamp
        time = stamp.sec * 1_000_000_000 + stamp.nanosec  # which may be no time that Time admits
        v, q = message.transform.translation, message.transform.rotation
        transform = Transform(np.array((v.x, v.y, v.z)), np.array((q.x, q.y, q.z, q.w)))
        fault = _fault(parent, child, transform)
        if fault:
            get_logger('tf2').error(
                f'Ignoring transform from "{child}" to "{parent}" by {authority}: {fault}')
            return
        with self._changed:
            if not isinstance(self._histories.get(child), kind):
                self._histories[child] = kind(self._cache_time)
            self._frames |= {parent, child}
            kept = self._histories[child].insert(time, parent, transform)
            self._changed.notify_all()
        if not kept:
            get_logger('tf2').warning(
                f'TF_OLD_DATA ignoring data from the past for frame {child} at time '
                f'{seconds(time)} according to authority {authority}',
                throttle_duration_sec=5.0)

    def _available(self, target, source, time):
        try:
            self._lookup(target, source, time.nanoseconds)
        except TransformException:
            return False
        return True

    def _lookup(self, target, source, time):
        """Return (stamp, transform). As all below, called with the lock held."""
        if target == source:
            return time, Transform.identity()
        self._validate('target_frame', target)
        self._validate('source_frame', source)
        time = time or self._latest_common_time(target, source)
        from_source, source_error = self._ancestors(source, time)
        from_target, target_error = self._ancestors(target, time)
        for frame, transform in from_source.items():
            if frame in from_target:
                return time, from_target[frame].inverse() @ transform
        if target_error or source_error:
            raise ExtrapolationException(
                f'{target_error or source_error}, when looking up transform from frame '
                f'[{source}] to frame [{target}]')
        raise _unconnected(target, source)

    def _validate(self, argument, frame):
        fault = (
            'cannot be empty' if not frame else
            "cannot start with a '/'" if frame.startswith('/') else None)
        if fault:
            raise InvalidArgumentException(
                f'Invalid argument "{frame}" passed to lookupTransform argument {argument} - '
                f'in tf2 frame_ids {fault}')
        if frame not in self._frames:
            raise LookupException(
                f'"{frame}" passed to lookupTransform argument {argument} does not exist. ')

    def _latest_common_time(self, target, source):
        """Return the oldest of the newest stamps between two frames; 0 if none of them moves."""
        lines = []
        for frame in (target, source):
            line = [frame]
            while (parent := self._parent(line[-1])) is not None:
                if parent in line:
                    raise _loop(parent)
                line.append(parent)
            lines.append(line)
        common = next((frame for frame in lines[0] if frame in lines[1]), None)
        if common is None:
            raise _unconnected(target, source)
        between = [frame for line in lines for frame in line[:line.index(common)]]
        times = [self._histories[frame].latest_time() for frame in between]
        return min((time for time in times if time is not None), default=0)

    def _parent(self, frame):
        history = self._histories.get(frame)
        return history and history.latest_parent()

    def _ancestors(self, frame, time):
        """Return ({ancestor: transform to it}, what ended the walk before the root, or None)."""
        transforms = {frame: Transform.identity()}
        while frame in self._histories:
            try:
                parent, transform = self._histories[frame].at(time)
            except ExtrapolationException as error:
                return transforms, error
            if parent in transforms:
                raise _loop(parent)
            transforms[parent] = transform @ transforms[frame]
            frame = parent
        return transforms, None


def _fault(parent, child, transform):
    """Return what is wrong with a received transform, or None."""
    if not parent or not child:
        return 'a frame id is not set'
    if parent == child:
        return 'TF_SELF_TRANSFORM, a frame cannot be its own parent'
    values = (*transform.translation, *transform.rotation)
    if not all(math.isfinite(value) for value in values):
        return f'TF_NAN_INPUT, not all values are finite: {values}'
    if abs(transform.rotation @ transform.rotation - 1.0) > QUATERNION_TOLERANCE:
        return f'TF_DENORMALIZED_QUATERNION, not a rotation: {transform.rotation}'
    return None


def _unconnected(target, source):
    return ConnectivityException(
        f"Could not find a connection between '{target}' and '{source}' because they are not "
        'part of the same tree. Tf has two or more unconnected trees.')


def _loop(frame):
    return LookupException(f'The tf tree is invalid because it contains a loop through [{frame}].')
