"""What a lookup raises."""


class TransformException(Exception):
    """The base of all of them: catch this one."""


class ConnectivityException(TransformException):
    """The two frames are in unconnected trees."""


class ExtrapolationException(TransformException):
    """The time asked for is outside the time for which there is data."""


class InvalidArgumentException(TransformException):
    """A frame id is empty or starts with a slash."""


class LookupException(TransformException):
    """A frame does not exist, or the tree has a loop."""


class TimeoutException(TransformException):
    """The transform did not come in time (a Buffer raises what is missing instead)."""
