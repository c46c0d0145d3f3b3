"""The GPU backends: quality over training time, speed, views, kernels, and sharing the GPU."""
import concurrent.futures
import time

import numpy as np
import torch
from datasets import load, load_rgbd
from quality import evaluate
from report import Table
from throughput import Counter
from workers import Worker

from instant_nerf_ros.ros.duty_cycle import DutyCycle

DEVICES = 'triton', 'cuda'  # without and with tinycudann
GOALS = 25.0, 27.0, 29.0  # dB
MAX_TIME = 120.0  # s of training, if not all goals are reached
DURATION = 10.0  # s in which steps are counted
INTERVAL = 0.25  # s of training between evaluations of the held-out views
SIZES = (640, 480), (1920, 1080)
VIEWS, PROFILED_STEPS = 50, 50  # views of each size
SHARES = 1.0, 0.5, 0.25  # of the time for training, beside another process
COPY_SIZE = 2**30  # bytes, to measure the bandwidth of the memory


def measure(_):
    """Return the tables; without a GPU, print a line and return none."""
    if not torch.cuda.is_available():
        print('not measured: gpu, since there is no NVIDIA GPU that this PyTorch can use')
        return []
    scene, tables = load_rgbd(), []
    for device in DEVICES:
        mapper = scene.trained(steps=2000, settings={'device': device})
        if device == 'cuda' and mapper.backend_name != 'tinycudann':
            print('not measured: tinycudann, which is not in use here; the log has the reason')
            continue
        tables += [_speed(scene, mapper), _quality(device), _views(scene, mapper),
                   _kernels(mapper), _sharing(mapper)]  # fmt: skip
    return tables


def _speed(scene, mapper):
    torch.cuda.reset_peak_memory_stats()
    mapper.backend.synchronize()
    with Counter(mapper) as counter:
        counter.run(DURATION)
        begin = time.monotonic()
        mapper.backend.synchronize()
        counter.seconds += time.monotonic() - begin
    return Table(['figure', 'value'], [
        ['GPU', torch.cuda.get_device_name()],
        ['backend', mapper.backend.description()],
        ['bandwidth of its memory, read and write [GB/s]', _bandwidth()],
        ['scene', scene.title],
        ['samples/s', counter.samples / counter.seconds],
        ['rays/s', counter.rays / counter.seconds],
        ['step [ms]', 1e3 * counter.seconds / counter.steps],
        ['memory [MB]', torch.cuda.max_memory_allocated() / 2**20],
    ])


def _bandwidth():
    source = torch.ones(COPY_SIZE, dtype=torch.uint8, device='cuda')
    target, times = torch.empty_like(source), []
    for _ in range(10):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        target.copy_(source)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return 2 * COPY_SIZE / np.median(times) / 1e6


def _quality(device):
    """Return the table of training time until held-out views of the fox reach each goal."""
    scene, reached = load('fox', False), {}
    if scene is not None:
        scene.trained(settings={'device': device})  # compiles
        mapper = scene.mapper(settings={'device': device})
        for frame in scene.train:
            scene.add(frame, mapper)
        trained = 0.0
        while trained < MAX_TIME and len(reached) < len(GOALS):
            begin = time.monotonic()
            while time.monotonic() - begin < INTERVAL:
                mapper.step()
            mapper.backend.synchronize()
            trained += time.monotonic() - begin
            quality, _ = evaluate(mapper, scene.held_out)
            for goal in GOALS:
                if quality >= goal:
                    reached.setdefault(goal, trained)
    return Table([f'PSNR of the fox [dB], device: {device}', 'after training [s]'],
                 [[f'{goal:.0f}', reached.get(goal)] for goal in GOALS])


def _views(scene, mapper):
    """Return the table of times from a call to its NumPy arrays, idle and after a step."""
    rows = []
    for size in SIZES:
        times = [[], []]
        for training in (False, True):
            for number in range(VIEWS):
                frame = scene.held_out[number % len(scene.held_out)]
                camera = frame.camera.scaled(*size)
                camera.directions()  # cached from now on, as for a real camera
                mapper.render(camera, frame.T_world_camera)
                begin = time.perf_counter()
                if training:
                    mapper.step()
                mapper.render(camera, frame.T_world_camera)
                times[training].append(1e3 * (time.perf_counter() - begin))
        rows.append([f'{size[0]} x {size[1]}', *map(np.median, times), max(times[1])])
    return Table(['view', 'idle [ms]', 'with a step before it [ms]', 'longest [ms]'], rows)


def _kernels(mapper):
    """Return the table of time per kernel in a step, and of the time that the GPU idles."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    mapper.backend.synchronize()
    with torch.profiler.profile(activities=activities) as profile:
        begin = time.monotonic()
        for _ in range(PROFILED_STEPS):
            mapper.step()
        mapper.backend.synchronize()
        wall = 1e3 * (time.monotonic() - begin) / PROFILED_STEPS
    rows = [
        [event.key, _device_time(event) / 1e3 / PROFILED_STEPS, event.count / PROFILED_STEPS]
        for event in profile.key_averages()]
    rows.sort(key=lambda row: -row[1])
    busy = sum(row[1] for row in rows)
    rows = [[name[:60], took, took / wall, calls] for name, took, calls in rows[:25]]
    rows.append(['idle', wall - busy, 1 - busy / wall, None])
    return Table(['kernel', 'ms per step', 'share', 'launches per step'], rows)


def _sharing(mapper):
    """Return the table of a detection network that shares the GPU, by training_share."""
    with Worker('detector.py') as detector, concurrent.futures.ThreadPoolExecutor(1) as beside:
        alone = detector.measure()
        rows = [['no training', alone, 1.0, None]]
        for share in SHARES:
            duty_cycle, steps, begin = DutyCycle(), 0, time.monotonic()
            measured = beside.submit(detector.measure)
            while not measured.done():
                if duty_cycle.due():
                    duty_cycle.step(mapper, share)
                    steps += 1
                else:
                    time.sleep(0.001)
            mapper.backend.synchronize()
            rate = measured.result()
            rows.append([f'training_share {share}', rate, rate / alone,
                         steps / (time.monotonic() - begin)])
    return Table(['beside a detection network', 'images/s', 'of those alone', 'steps/s'], rows)


def _device_time(event):
    """Return microseconds on the GPU; the name depends on the version of PyTorch."""
    return getattr(event, 'self_device_time_total', None) or getattr(
        event, 'self_cuda_time_total', 0)
