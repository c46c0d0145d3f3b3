"""The node's own settings; those of the engine are in nerf/config.py."""
import dataclasses

from instant_nerf_ros.nerf.config import setting


@dataclasses.dataclass(frozen=True)
class NodeConfig:
    """What the node listens to, how long it waits, and how often it publishes."""

    map_frame: str = setting('map', 'fixed frame of the map, z up')
    image_transport: str = setting(
        'raw', "'compressed' subscribes image/compressed", choices=('raw', 'compressed'))
    use_depth: bool = setting(True, 'use the depth images, where there are any')
    depth_transport: str = setting(
        'raw', "'compressedDepth' subscribes depth/compressedDepth",
        choices=('raw', 'compressedDepth'))
    depth_unit: float = setting(0.001, 'one count of a 16-bit depth image [m]', 1e-6, 1.0)
    rectification: str = setting(
        'auto', "'auto': rectified if the topic says rect, or D is all zero",
        choices=('auto', 'rectified', 'unrectified'))
    tf_timeout: float = setting(
        1.0, 'longest wait of an image for its pose, camera_info and depth [s]', 0.0, 60.0)
    tf_buffer: float = setting(30.0, 'length of the TF history [s]', 1.0, 600.0)
    sync_tolerance: float = setting(
        0.02, 'largest difference between the stamps of an image and its depth [s]', 0.0, 1.0)
    queue_size: int = setting(
        50, 'images that may wait for TF, and again for the engine', 1, 1000)
    map_folder: str = setting(
        '~/.ros/instant_nerf_map', 'folder of ~/save_map and ~/load_map, of its own')
    map_rate: float = setting(1.0, 'highest rate of map, 0 for none [Hz]', 0.0, 10.0)
    points_rate: float = setting(0.5, 'highest rate of ~/points, 0 for none [Hz]', 0.0, 10.0)
    render_rate: float = setting(
        0.5, 'highest rate of ~/render from the camera, 0 for none [Hz]', 0.0, 30.0)
    render_width: int = setting(
        320, "width of rendered views, 0 for the camera's; the height follows [pixel]", 0, 4096)
