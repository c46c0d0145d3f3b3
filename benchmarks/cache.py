"""Results that take long and depend on sources and arguments only, in the user's cache."""
import hashlib
import os
import pickle
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar('T')
CACHE = Path(os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache')) / 'instant_nerf_ros'


def key(name: str, arguments: object, sources: Iterable[Path]) -> str:
    """Return the name of a result, with a digest of its arguments and sources."""
    digest = hashlib.sha256(repr(arguments).encode())
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return f'{name}-{digest.hexdigest()[:12]}'


def cached(name: str, make: Callable[[], T]) -> T:
    """Return the result of a name, which `make` returns if it is not there yet."""
    path = CACHE / f'{name}.pickle'
    if path.is_file():
        return pickle.loads(zlib.decompress(path.read_bytes()))
    result = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f'.{os.getpid()}')  # so that another process finds all or nothing
    part.write_bytes(zlib.compress(pickle.dumps(result), 1))
    part.replace(path)
    return result
