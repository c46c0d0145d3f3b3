"""Map a simulated flat, or recorded data, over ROS 2, and evaluate the result.

Three processes communicate over DDS: a robot (sim_robot or replay), mapper_node, and this one,
which only subscribes to what the mapper publishes. It writes map.pgm and map.yaml (for Nav2's
map_server), map.png, views.png, results.json and the logs of the nodes to a folder.
"""
import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# For this process and its children, before any of them imports rclpy.
os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
os.environ.setdefault('FASTDDS_DEFAULT_PROFILES_FILE', str(ROOT / 'config' / 'fastdds.xml'))

from children import ChildError, Children  # noqa: E402
from observer import Observer  # noqa: E402
from progress import Progress  # noqa: E402
from report import evaluate, summary, write_pictures  # noqa: E402
from scenes import VOXEL_SIZE, Scene, open_scene  # noqa: E402

MAPPING_TIME = 120.0  # s since the first image, without the option --settle
START_TIMEOUT = 120.0  # s; the first start compiles
TICK = 0.2  # s
VIEWER_PORT, VIEWER_TIMEOUT = 8080, 20.0  # s
LAST_MAP = 3.0  # s, longer than the period at which maps are published


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'output', nargs='?', type=Path, default=Path('demo_output'),
        help='folder for the results (demo_output)')
    parser.add_argument(
        '--data', help='folder of posed images, rosbag2 or ROS 1 bag, instead of the flat')
    parser.add_argument(
        '--no-depth', dest='depth', action='store_false',
        help='map from colour images and TF alone')
    parser.add_argument(
        '--no-viewer', dest='viewer', action='store_false', help='do not serve a page to watch')
    parser.add_argument(
        '--settle', type=float, metavar='S',
        help='seconds of mapping after the drive (default: until mapping has taken '
             f'{MAPPING_TIME:.0f} in all)')
    parser.add_argument('--laps', type=float, default=1.0, help='laps through the flat (1)')
    parser.add_argument(
        '--width', type=int, default=320, help='image width in the flat, in pixels (320)')
    parser.add_argument(
        '--set', action='append', default=[], metavar='NAME=VALUE', type=_assignment,
        help='a parameter of the mapper; may be given several times')
    return parser.parse_args()


def main() -> int:
    """Run the demo; return the exit status."""
    options = parse_options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores SIGHUP, which must stay so. A shell ignores SIGINT for commands in the
        # background, but a SIGINT that is sent to one of them is meant to end it.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    begin = time.monotonic()
    try:
        scene = open_scene(options.data, options.depth, options.laps, options.width)
        options.output.mkdir(parents=True, exist_ok=True)
        results, grid, path, rendered, points = run(scene, options)
        views = [(frame, *images) for frame, images in zip(scene.held_out(), rendered)]
        results.update(evaluate(views, points, grid, scene.reference()))
        write_pictures(options.output, scene.name, results, grid, path, views)
    except KeyboardInterrupt:
        print('\nstopped', file=sys.stderr)
        return 130
    except (ChildError, TimeoutError, ValueError, OSError, ImportError) as error:
        print(f'\ndemo: {error}', file=sys.stderr)
        return 1
    results['wall_s'] = round(time.monotonic() - begin, 1)
    (options.output / 'results.json').write_text(json.dumps(results, indent=2) + '\n')
    print('; '.join(summary(results)))
    print(f"{results['wall_s']:.0f} s in all; the results are in {options.output}, see map.png"
          f"{' and views.png' if views else ''}")
    return 0


def run(scene: Scene, options: argparse.Namespace) -> tuple:
    """Start the processes, let them map, and collect the results.

    Returns the figures of the run, the map, the path of the camera, the views rendered from the
    held-out poses, and the centers of the occupied voxels.
    """
    print(f"mapping the {scene.name}{'' if options.depth else ' without depth'}; to watch: "
          f"ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']} rviz2 -d rviz/mapping.rviz")
    with Children(options.output) as children, \
            Observer(scene.topics['camera_info']) as observer:
        if options.viewer:
            children.start('viewer', {'viewer_port': VIEWER_PORT})
            address = children.wait_for('viewer', r'http://\S+', VIEWER_TIMEOUT)
            print(f'to watch in a browser: {address}' if address else
                  f'without a page to watch, see {options.output}/viewer.log')
        results = drive(scene, options, children, observer)
        print('requesting views from the held-out poses')
        rendered = list(observer.request_views(scene.held_out_poses()))
        points = observer.request_points()
        observer.spin(LAST_MAP)
        return {**results, **_figures(observer)}, observer.map(), observer.path, rendered, points


def drive(
    scene: Scene, options: argparse.Namespace, children: Children, observer: Observer,
) -> dict[str, object]:  # fmt: skip
    """Drive through the scene, train for a while, and return the figures of both."""
    progress = Progress()
    children.start('mapper_node', {
        'use_depth': options.depth, 'render_width': 0, 'occupancy.voxel_size': VOXEL_SIZE,
        **scene.mapper_parameters, **dict(options.set)}, scene.topics.items())
    deadline = time.monotonic() + START_TIMEOUT
    while children.running('mapper_node') and not observer.status.get('backend'):
        observer.spin(TICK)
        progress.show('starting', observer.status, 0.0)
        if time.monotonic() > deadline:
            raise TimeoutError(f'the mapper was not ready after {START_TIMEOUT:.0f} s')
    children.start(scene.node, scene.parameters)
    first_image = arrived = None
    while children.running('mapper_node'):
        observer.spin(TICK)
        now = time.monotonic()
        if first_image is None and int(observer.status['keyframes']):
            first_image = now
        if arrived is None and not children.running(scene.node):
            arrived = now
            if first_image is None:
                raise ChildError(f'the mapper used no image; see {options.output}/mapper_node.log')
            settle = options.settle
            if settle is None:
                settle = max(first_image + MAPPING_TIME - now, 0.0)
        if arrived is not None and now >= arrived + settle:
            break
        progress.show(
            'driving' if arrived is None else 'settling', observer.status, observer.known_area())
    progress.close()
    if observer.grid is None:
        raise ChildError(f'the mapper published no map; see {options.output}/mapper_node.log')
    return {
        'scene': scene.name, 'with_depth': options.depth,
        'drive_s': round(arrived - first_image, 1), 'settle_s': round(now - arrived, 1)}


def _figures(observer: Observer) -> dict[str, object]:
    status = observer.status
    return {
        'backend': status['backend'], 'keyframes': int(status['keyframes']),
        'steps': int(status['steps']), 'known_m2': round(observer.known_area(), 2)}


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition('=')
    if not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=VALUE")
    return name, value


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == '__main__':
    sys.exit(main())
