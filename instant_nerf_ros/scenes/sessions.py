"""Sessions: the keyframes of what a node has kept in its session_folder, to be fitted again."""
import warnings
from pathlib import Path

from instant_nerf_ros.data.parsing import enumeration
from instant_nerf_ros.nerf import Mapper
from instant_nerf_ros.session.base_session import load
from instant_nerf_ros.session.history import History
from instant_nerf_ros.session.saved_state import saved_config
from instant_nerf_ros.session.session_folder import SessionFolder


def is_session(path: Path) -> bool:
    """Return whether a folder is that of a session."""
    return path.is_dir() and bool(SessionFolder(path).segments())


def session_mapper(path: Path) -> Mapper:
    """Return a Mapper with keyframes, corrected poses and settings of a session, even in use.

    A warning names what is damaged; the rest is used. Raises ValueError for a session of another
    version.
    """
    history = History(SessionFolder(path))
    config, unknown = saved_config(history)
    mapper = Mapper(config)
    load(mapper, history)
    if unknown:
        warnings.warn(f'{path}: settings of another version are not used: {enumeration(unknown)}',
                      stacklevel=2)
    if history.findings:
        warnings.warn(f'{path}: {enumeration(history.findings)}', stacklevel=2)
    return mapper
