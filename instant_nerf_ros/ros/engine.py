"""Start of the engine: a Mapper whose kernels are compiled."""
from collections.abc import Callable

from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.warm_up import warm_up


def start_engine(config: Config, warn: Callable[[str], object]) -> Mapper:
    """Return a Mapper after all its kernels have been compiled and run once.

    If the backend that 'auto' selects fails, 'cpu' is used instead, and warn(sentence) is called.
    A backend that was selected by name raises its own exception.
    """
    try:
        warm_up(config.device, config.field)
    except Exception as error:  # of a driver, a compiler or an allocator: any type is possible
        if config.device != 'auto':
            raise
        warn(f"the fastest backend does not work here, 'cpu' takes over: {error!r}")
        config = replace(config, {'device': 'cpu'})
        warm_up('cpu', config.field)
    return Mapper(config)
