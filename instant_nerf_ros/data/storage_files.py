"""Storage files of recordings: which there are, and what may restore a damaged one."""
from pathlib import Path

from instant_nerf_ros.data.parsing import natural_key

METADATA = 'metadata.yaml'
ROS1_REPAIR = 'it has the suffix of a ROS 1 bag; `rosbag reindex {0}` may restore a truncated one'
# What may restore a storage file, by its suffix.
REPAIRS = {
    '.mcap': '`mcap recover {0} -o recovered.mcap` may restore a truncated file, and '
             '`ros2 bag reindex` its metadata.yaml',
    '.db3': '`sqlite3 {0} .recover` may restore a truncated file, and `ros2 bag reindex` its '
            'metadata.yaml',
    '.bag': ROS1_REPAIR,
    '.active': ROS1_REPAIR,
}
ROS1_SUFFIXES = ('.bag', '.active')
# First bytes of storage files, with the suffix by which they are read.
MAGIC = {b'\x89MCAP0\r\n': '.mcap', b'SQLite format 3\0': '.db3', b'#ROSBAG V': '.bag'}
COMPRESSED = ('.zstd', '.zst', '.gz', '.bz2', '.xz', '.lz4', '.zip', '.tar', '.tgz')


def storage_files(path: Path) -> list[Path]:
    """Return the storage files in a folder, in the order of their numbers."""
    if not path.is_dir():
        return []
    files = [file for file in path.iterdir() if file.suffix in REPAIRS and file.is_file()]
    return sorted(files, key=lambda file: natural_key(file.name))


def check_file(path: Path) -> None:
    """Raise ValueError for a file that is no storage file by its suffix, but may contain one."""
    if path.suffix in COMPRESSED:
        raise ValueError(
            f'{path} is a compressed file: decompress it (e.g. zstd -d, gunzip, tar -xf), and '
            'play the recording that it contains')
    suffix = content_suffix(path)
    if suffix and path.suffix != suffix and (path.suffix, suffix) != ('.active', '.bag'):
        raise ValueError(f'{path} contains what a {suffix} file contains: rename it to *{suffix}')


def content_suffix(path: Path) -> str | None:
    """Return the suffix that a storage file should have by its first bytes; None for others."""
    with path.open('rb') as file:
        begin = file.read(16)
    return next((suffix for magic, suffix in MAGIC.items() if begin.startswith(magic)), None)


def compressed_files(path: Path) -> list[Path]:
    """Return the storage files in a folder that are compressed as a whole."""
    return [file for file in sorted(path.iterdir()) if file.suffix in COMPRESSED
            and Path(file.stem).suffix in REPAIRS] if path.is_dir() else []


def recordings_in(path: Path) -> list[Path]:
    """Return the folders of a folder that are rosbag2 recordings."""
    return sorted(file.parent for file in path.glob(f'*/{METADATA}'))


def damage(path: Path, error: Exception) -> str:
    """Return a sentence about damaged data, and what may restore it."""
    files = storage_files(path) or [path]
    file = files[0] if len(files) == 1 else 'FILE'
    repairs = dict.fromkeys(
        REPAIRS[each.suffix].format(file) for each in files if each.suffix in REPAIRS)
    return (f"{path} cannot be read, it is damaged or truncated ({one_line(error)}): "
            f"{'; '.join(repairs)}")


def one_line(error: Exception) -> str:
    """Return the text of an error in one line."""
    return ' '.join((str(error) or repr(error)).split())
