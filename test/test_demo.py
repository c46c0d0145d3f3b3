"""The demo: the files that it writes, its processes, and a short drive."""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import cv2
import numpy as np
import pytest

from instant_nerf_ros.nerf.products.exports import write_map

ROOT = Path(__file__).parents[1]
SHORT = ('--laps', '0.12', '--width', '96', '--settle', '4')  # 8 s of driving


def load_map(folder):
    """Return cells (ny, nx) int8, origin and resolution as map_server of Nav2 loads map.yaml."""
    text = (folder / 'map.yaml').read_text()
    values = dict(line.split(': ', 1) for line in text.splitlines())
    assert values['mode'] == 'trinary' and values['negate'] == '0'
    magic, size, peak, pixels = (folder / values['image']).read_bytes().split(b'\n', 3)
    assert magic == b'P5' and peak == b'255'
    width, height = map(int, size.split())
    grey = np.frombuffer(pixels, np.uint8).reshape(height, width)
    probability = 1 - grey / 255.0
    cells = np.full(grey.shape, -1, np.int8)
    # Versions of map_server differ: <= and >=, or < and >. Both must give the same cells.
    cells[probability > float(values['occupied_thresh'])] = 100
    cells[probability < float(values['free_thresh'])] = 0
    np.testing.assert_array_equal(cells == 100, probability >= float(values['occupied_thresh']))
    np.testing.assert_array_equal(cells == 0, probability <= float(values['free_thresh']))
    origin = json.loads(values['origin'])
    assert len(origin) == 3 and origin[2] == 0.0
    return cells[::-1], np.array(origin[:2]), float(values['resolution'])


@contextlib.contextmanager
def parent(*command):
    """Run a Python program; fail if a process that it started is still running afterwards."""
    mark = f'DEMO_TEST_{uuid.uuid4().hex}'
    process = subprocess.Popen(
        [sys.executable, *command], env={**os.environ, mark: '1'}, cwd=ROOT / 'examples',
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 10
        while left := marked(mark):
            assert time.monotonic() < deadline, f'still running: {left}'
            time.sleep(0.1)


def demo(output, *options):
    """Run the demo as parent() does."""
    return parent('demo.py', output, *options)


def marked(mark):
    """Return the command lines of the processes with an environment variable."""
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            if mark.encode() in (folder / 'environ').read_bytes():
                found.append((folder / 'cmdline').read_bytes())
    return found


def wait_for(process, path, words):
    """Wait until a file contains certain words."""
    deadline = time.monotonic() + 60
    while not (path.exists() and words in path.read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)


def test_a_map_is_read_back_as_written(tmp_path):
    random = np.random.default_rng(0)
    cells = random.choice(np.array([-1, 0, 100], np.int8), (13, 29))
    origin = np.array([-7, 11]) * float(np.float32(0.05))
    write_map(tmp_path, cells, origin, float(np.float32(0.05)))
    loaded, at, resolution = load_map(tmp_path)
    np.testing.assert_array_equal(loaded, cells)
    np.testing.assert_allclose(at, origin, atol=1e-6)
    assert resolution == pytest.approx(0.05)


def test_the_lowest_row_of_a_map_is_the_last_of_its_image(tmp_path):
    cells = np.zeros((3, 4), np.int8)
    cells[0, 1] = 100
    write_map(tmp_path, cells, (0.0, 0.0), 0.05)
    image = cv2.imread(str(tmp_path / 'map.pgm'), cv2.IMREAD_UNCHANGED)
    assert image[-1, 1] == 0 and (image == 254).sum() == 11


@pytest.mark.ros
@pytest.mark.parametrize('data', ['nowhere', 'empty'])
def test_missing_data_is_reported_in_a_sentence(tmp_path, data):
    (tmp_path / 'empty').mkdir()
    path = tmp_path / data
    with demo(tmp_path / 'output', '--data', str(path)) as process:
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 1
    assert str(path) in output and len(output.split('\n')) <= 3
    assert not (tmp_path / 'output').exists()


@pytest.mark.ros
def test_a_node_that_cannot_start_is_reported_with_its_last_lines(tmp_path):
    with demo(tmp_path, *SHORT, '--set', 'occupancy.voxel_size=-1.0') as process:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
    assert 'mapper_node ended with status 1' in output
    assert "'occupancy.voxel_size' must be between" in output


@pytest.mark.parametrize('handler', [signal.SIG_IGN, signal.SIG_DFL])
def test_a_deferred_signal_does_what_it_did_before(handler):
    program = (
        'import os, signal; from children import signals_deferred\n'
        f'signal.signal(signal.SIGTERM, signal.Handlers({int(handler)}))\n'
        'with signals_deferred():\n'
        '    os.kill(os.getpid(), signal.SIGTERM)\n'
        "    print('inside', flush=True)\n"
        "print('after')")
    with parent('-c', program) as process:
        output, _ = process.communicate(timeout=20)
    ignored = handler == signal.SIG_IGN
    assert output.split() == (['inside', 'after'] if ignored else ['inside'])
    assert process.returncode == (0 if ignored else -signal.SIGTERM)


@pytest.mark.ros
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_and_its_nodes(tmp_path, number):
    with demo(tmp_path, *SHORT) as process:
        wait_for(process, tmp_path / 'sim_robot.log', 'driving')
        process.send_signal(number)
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 130
    assert 'stopped' in output and 'Traceback' not in output
    assert 'stopped by a signal' in (tmp_path / 'sim_robot.log').read_text()


@pytest.mark.ros
@pytest.mark.skipif(sys.platform != 'linux', reason='needs prctl of Linux')
def test_nodes_end_when_their_parent_is_killed(tmp_path):
    program = (
        'import sys, time; from children import Children; '
        "Children(sys.argv[1]).start('sim_robot', {}); time.sleep(60)")
    with parent('-c', program, tmp_path) as process:
        wait_for(process, tmp_path / 'sim_robot.log', 'driving')
        process.kill()


@pytest.mark.ros
@pytest.mark.slow
def test_the_files_of_a_short_drive_are_consistent(tmp_path):
    with demo(tmp_path, *SHORT) as process:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    results = json.loads((tmp_path / 'results.json').read_text())
    assert 'tour finished' in (tmp_path / 'sim_robot.log').read_text()
    log = (tmp_path / 'mapper_node.log').read_text()
    # Blurred images are replaced by sharper ones; nothing else is dropped.
    reasons = re.findall(r'dropped: (.*)', log)
    assert reasons and all(re.fullmatch(r'nothing|\d+ blurred', reason) for reason in reasons)
    assert results['keyframes'] > 10 and results['steps'] > 10

    cells, origin, resolution = load_map(tmp_path)
    assert results['known_m2'] == pytest.approx((cells >= 0).sum() * resolution**2, abs=0.01)
    np.testing.assert_allclose(np.round(origin / resolution) * resolution, origin, atol=1e-4)
    assert (cells == 0).any() and (cells == 100).any()

    assert results['psnr_db'] == pytest.approx(np.mean(results['psnr_db_of_views']), abs=0.01)
    assert f"PSNR {results['psnr_db']:.1f} dB" in output
    assert results['depth_l1_median_cm'] <= results['depth_l1_mean_cm']
    assert results['occupied_found'] > 0.5 > results['map_free_far_wrong']
    for picture in ('map.png', 'views.png'):
        pixels = cv2.imread(str(tmp_path / picture))
        assert min(pixels.shape[:2]) > 300 and pixels.std() > 10
