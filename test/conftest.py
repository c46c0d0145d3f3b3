"""What all tests share: the environment of ROS, the markers, where recorded data is."""
import collections
import importlib.util
import os
import sys
from pathlib import Path

import pytest
import ros_domain
import shared_memory

ROOT = Path(__file__).parents[1]

# For this process and all that it starts, before any of them imports rclpy. Robots and other test
# runs do not use this domain, as long as its reservation is open.
domain, RESERVATION = ros_domain.reserve()
os.environ['ROS_DOMAIN_ID'] = str(domain)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
os.environ.setdefault('FASTDDS_DEFAULT_PROFILES_FILE', str(ROOT / 'config' / 'fastdds.xml'))
# Several processes share the cores: threads of OpenMP that wait must not use them.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
SLOW_TIMEOUT = 900  # s


def _has_modules(*names):
    return all(importlib.util.find_spec(name) for name in names)


def _has_cuda():
    if not _has_modules('torch', 'triton'):
        return False
    import torch
    return torch.cuda.is_available()


# Without a GPU the kernels run in Triton's interpreter, if that is set before it is imported.
if not _has_cuda():
    os.environ['TRITON_INTERPRET'] = '1'

# The only place where a marker turns into a skip: {marker: why its tests cannot run, or None}.
MISSING = {
    'ros': None if _has_modules('rclpy', 'sensor_msgs', 'tf2_ros') else 'needs ROS 2',
    'cuda': None if _has_cuda() else 'needs an NVIDIA GPU',
    'triton': None if _has_modules('triton') else 'needs Triton',
    'interpreter': "needs Triton's interpreter, not a GPU" if _has_cuda() else None,
    'tinycudann': (None if _has_cuda() and _has_modules('tinycudann')
                   else 'needs an NVIDIA GPU and tinycudann'),
}


def pytest_collection_modifyitems(items):
    """Skip the tests that cannot run here, and give slow ones more time."""
    for item in items:
        if item.get_closest_marker('slow'):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT))
        for marker, reason in MISSING.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_sessionfinish():
    """Remove the shared memory of the processes that tests have killed."""
    shared_memory.remove_orphans()


def pytest_terminal_summary(terminalreporter):
    """Write how many tests were skipped, and why."""
    skipped = terminalreporter.stats.get('skipped', [])
    reasons = collections.Counter(report.longrepr[2] for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f'{count} not run: {reason.removeprefix("Skipped: ")}')


@pytest.fixture(scope='session')
def recorded_data():
    """Return the folder of recorded data sets (Path); skip where there is none."""
    folder = Path(os.environ.get('INSTANT_NERF_DATA', ROOT.parent / 'shared' / 'data'))
    if not folder.is_dir():
        pytest.skip(f'no recorded data in {folder} (INSTANT_NERF_DATA names another folder)')
    return folder
