"""The kernels of the GPU backend access memory only as a GPU allows; see kernel_watch."""
import importlib

import numpy as np
import pytest
import torch

pytest.importorskip('triton.runtime.interpreter')

import triton
import triton.language as tl
from kernel_watch import Watch
from scenes import poses, view
from test_cuda_compiled import KERNELS
from test_cuda_mapper import SMALL, mapped

pytestmark = [pytest.mark.triton, pytest.mark.interpreter]


@triton.jit
def beyond(numbers, BLOCK: tl.constexpr):  # noqa: N803
    tl.atomic_add(numbers + BLOCK * tl.program_id(0) + tl.arange(0, BLOCK), 1)


@triton.jit
def fight(numbers, BLOCK: tl.constexpr):  # noqa: N803
    tl.store(numbers + tl.arange(0, BLOCK), tl.program_id(0))


@triton.jit
def crowd(numbers, BLOCK: tl.constexpr):  # noqa: N803
    lane = tl.arange(0, BLOCK)
    tl.store(numbers + lane // 2, lane, mask=lane >= BLOCK * tl.program_id(0))


@triton.jit
def spy(numbers, BLOCK: tl.constexpr):  # noqa: N803
    own = tl.program_id(0)
    tl.store(numbers + own, tl.load(numbers + 1 - own))


@triton.jit
def recall(numbers, BLOCK: tl.constexpr):  # noqa: N803
    own = tl.program_id(0)
    tl.store(numbers + own, 1)
    tl.store(numbers + 2 + own, tl.load(numbers + own))


@triton.jit
def meddle(numbers, BLOCK: tl.constexpr):  # noqa: N803
    tl.atomic_add(numbers, 1, mask=tl.program_id(0) == 0)
    tl.store(numbers, 5, mask=tl.program_id(0) == 1)


@triton.jit
def agree(numbers, BLOCK: tl.constexpr):  # noqa: N803
    tl.store(numbers + tl.arange(0, BLOCK), 7)
    tl.atomic_add(numbers + BLOCK, tl.load(numbers + BLOCK + 1))


@pytest.mark.parametrize('kernel, mistakes', [
    (beyond, {'accesses memory that is none of its arguments'}),
    (fight, {'stores something else than another program'}),
    (crowd, {'stores something else than another lane'}),
    (spy, {'stores what another program loads'}),
    (recall, {'loads again what it has stored'}),
    (meddle, {'stores where there is an exchange'}),
    (agree, set()),
])  # fmt: skip
def test_the_watch_finds_what_is_an_error_on_a_gpu(kernel, mistakes):
    watch, count = Watch(), 4
    numbers = torch.arange(100, 100 + 2 * count, dtype=torch.int32)
    with watch.on():
        kernel[(2,)](numbers[: 2 * count - 1], count)
    assert watch.kernels == {kernel.__name__}
    assert watch.mistakes == {f'{kernel.__name__} {mistake}' for mistake in mistakes}


@pytest.mark.slow
def test_kernels_access_only_their_memory_and_share_it_only_by_atomic_operations(monkeypatch):
    module = importlib.import_module('instant_nerf_ros.nerf.backends.cuda.train_step')
    monkeypatch.setattr(module, 'TRACED', 32)  # rays of a program, so that there are several
    mapper = mapped(SMALL, 2)
    pose = poses(7)[3]
    mapper.add(view(SMALL, pose)[0], SMALL, pose)
    mapper.trainer.schedule.restore(rays=24, stride=8.0, age=0)
    mapper.step()
    mapper.keyframes.count_rays(np.full(len(mapper.keyframes), 5000))  # enough to vote
    watch = Watch()
    keyframes = importlib.import_module('instant_nerf_ros.nerf.backends.cuda.device_keyframes')
    watch.allow(mapper.keyframes.backend_state(keyframes.DeviceKeyframes).images.values())
    with watch.on():
        losses = [mapper.step()['loss'] for _ in range(4)]
        mapper.render(SMALL, pose, slice(3))
        image, depth = view(SMALL, poses(9)[4])
        mapper.add(image, SMALL, poses(9)[4], depth)
    assert watch.mistakes == set()
    assert watch.kernels == KERNELS and np.isfinite(losses).all()
