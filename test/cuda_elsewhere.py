"""A whole mapping session on a simulated GPU: cuda_elsewhere.py FOLDER DEVICE.

Its files are saved to the folder. See fake_gpu for the mistakes that this finds.
"""
import sys
from pathlib import Path

import fake_gpu
import numpy as np
import torch


def refuse(gpu):
    """Check that the simulated GPU refuses what a real one refuses, and that it records waits."""
    there, here = torch.ones(3, device='cuda'), torch.ones(3)
    assert (there.to('cuda') + 1).cpu().tolist() == [2, 2, 2] and there[1:].sum().item() == 2
    for mistake in (
            lambda: there + here, lambda: torch.cat([there, here]), lambda: there.numpy(),
            lambda: np.asarray(there), lambda: here.add_(there)):
        try:
            mistake()
        except (RuntimeError, TypeError):
            continue
        raise AssertionError('a mistake went unnoticed')
    for waits in (
            there.cpu, there.sum().item, lambda: there.to('cpu'), lambda: here.to('cuda'),
            lambda: here.pin_memory().to('cuda'), lambda: there[there > 0], there.tolist,
            lambda: here.copy_(there), lambda: torch.tensor([1], device='cuda'),
            lambda: bool(there[0])):
        gpu.waits.clear()
        waits()
        assert gpu.waits
    gpu.waits.clear()
    torch.ones(3).pin_memory().to('cuda', non_blocking=True)
    torch.empty(3, pin_memory=True).copy_(there, non_blocking=True)
    there.to(torch.float64).to('cuda')[1:].sum()
    assert not gpu.waits


def run_mapper(folder, device, gpu):
    """Do all that a Mapper can do, on this GPU."""
    from scenes import poses, view
    from test_cuda_mapper import CONFIG, SMALL, mapped

    from instant_nerf_ros.nerf import Mapper, replace
    from instant_nerf_ros.nerf.constants import SOLID
    from instant_nerf_ros.nerf.occupancy.merging import add_grid
    random = np.random.default_rng(0)
    config = replace(CONFIG, {'device': device, 'keyframes.held_out_every': 4})
    mapper = mapped(SMALL, 2, config)
    assert mapper.backend_name == {'triton': 'cuda', 'cuda': 'tinycudann'}[device]
    assert mapper.backend.DEVICE == 'cuda'
    assert mapper.occupancy.density_state.device == fake_gpu.ELSEWHERE
    for pose in poses(9)[3:6]:
        image, _ = view(SMALL, pose)
        mapper.add(image, SMALL, pose)  # without depth: rendered depth votes
    mapper.add_ranges(np.zeros(3), random.normal(size=(50, 3)))
    mapper.trainer.schedule.restore(rays=30, stride=8.0, age=0)
    mapper.step()
    mapper.keyframes.count_rays(np.full(len(mapper.keyframes), 5000))  # enough to vote
    gpu.waits.clear()
    for _ in range(5):  # with a probe of empty voxels, and votes of rendered depth
        assert np.isfinite(mapper.step()['loss'])
    assert device == 'cuda' or not gpu.waits, gpu.waits  # reports of the steps excepted
    image, depth = view(SMALL, poses(9)[2])
    mapper.integrate_depth(image, SMALL, poses(9)[2], depth)
    mapper.occupancy.grow_to(np.array([9.0, 0.0, 0.0]))
    mapper.correct_poses({1: np.eye(4)})
    assert np.isfinite(mapper.step()['loss']) and np.isfinite(mapper.psnr())
    # Surfaces for the mesh: any field, and voxels that are occupied.
    mapper.trainer.field.load({name: torch.from_numpy(random.normal(size=values.shape)).float()
                       for name, values in mapper.trainer.field.state().items()})
    mapper.occupancy.hits[tuple(size // 2 for size in mapper.occupancy.shape)] = 9
    mapper.occupancy.density_state.fill_(SOLID)  # so that this field is seen
    mapper.map(), mapper.octree(), mapper.esdf(0.5)
    assert len(mapper.points()[0]) and (mapper.voxels().states == 100).any()
    rendered = mapper.render(SMALL, poses(9)[2])
    assert rendered.color.any()
    mapper.save(folder)
    assert b'element face' in (folder / 'mesh.ply').read_bytes()[:300]
    again = Mapper.load(folder, config)
    assert np.array_equal(again.render(SMALL, poses(9)[2]).color, rendered.color)
    add_grid(again.measurements.grid(), mapper.measurements.grid())
    assert np.isfinite(again.step()['loss']) and (again.voxels().states == 100).any()
    mapper.rescue(folder / 'rescued')


if __name__ == '__main__':
    if sys.argv[2] == 'cuda':
        sys.path.append(str(Path(__file__).with_name('stand_in')))  # of tinycudann
    gpu = fake_gpu.install()
    refuse(gpu)
    run_mapper(Path(sys.argv[1]), sys.argv[2], gpu)
