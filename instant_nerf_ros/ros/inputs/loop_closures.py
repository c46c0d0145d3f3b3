"""Loop closures: what is mapped moves to where SLAM says, afterwards, that it was seen."""
import numpy as np


class LoopClosures:
    """Knows when what is mapped was seen; used by the thread that owns the Mapper."""

    def __init__(self, trajectory, way, drops, inform):
        """Keep the Trajectory, the Way, a Drops, and inform(sentence) for the log."""
        self._trajectory, self._way = trajectory, way
        self._drops, self._inform = drops, inform
        self.forget()

    def forget(self):
        """Begin anew, with nothing mapped, or what stays where it is."""
        self._trajectory.forget()
        self._stamps = {}  # number of a keyframe or scan in the Mapper: its stamp
        self._correction = None  # the last one

    def note(self, number, stamp_ns):
        """Note the stamp of a keyframe, a scan or a held-out image of the Mapper, by number."""
        self._stamps[number] = stamp_ns

    def follow(self, mapper):
        """Have a Mapper corrected, if SLAM has closed a loop."""
        correction = self._trajectory.take()
        if correction is None:
            return
        numbers, stamps = list(self._stamps), list(self._stamps.values())
        T_new_old = correction.at(stamps)
        try:
            if numbers:
                mapper.correct(dict(zip(numbers, T_new_old)))
        except ValueError as error:
            self._trajectory.forget()  # nothing has followed it: the next one counts from there
            self._drops.add('unusable trajectory', str(error))
            return
        self._correction = correction
        self._way.correct(dict(zip(stamps, T_new_old)))
        distance, angle = correction.largest()
        self._inform(
            f'SLAM has closed a loop: {len(numbers)} images and scans move with its trajectory, '
            f'which has moved by up to {distance:.2f} m and {np.degrees(angle):.1f} degrees')

    def T_new_old(self, stamp_ns):  # noqa: N802
        """Return what moves (4, 4) what TF told of a stamp: it may be from before the loop."""
        if self._correction is None or stamp_ns > self._correction.until_ns:
            return np.eye(4)
        return self._correction.at([stamp_ns])[0]
