"""The engine, ready to take images."""
from instant_nerf_ros.nerf import Mapper, replace
from instant_nerf_ros.nerf.warm_up import warm_up


def start_engine(config, complain):
    """Return a Mapper whose kernels are compiled, and have worked once.

    complain(text) is told if the fastest backend of 'auto' fails: then it is the processor's.
    """
    try:
        warm_up(config.device, config.field)
    except Exception as error:  # a driver, a compiler, memory: anything
        if config.device != 'auto':
            raise
        complain(f"the fastest backend does not work here, 'cpu' takes over: {error!r}")
        config = replace(config, {'device': 'cpu'})
        warm_up('cpu', config.field)
    return Mapper(config)
