"""What one of several ranks does for test_ranks.py; writes arrays to a file of its own."""
import sys

import numpy as np
import scenes
import torch

from instant_nerf_ros.nerf import Config, Mapper, replace
from instant_nerf_ros.nerf.joining import join
from instant_nerf_ros.nerf.occupancy import grid_state
from instant_nerf_ros.nerf.sharding import collect, distribute

SMALL = {'field.log2_table': 10, 'field.hidden': 16, 'sampling.samples_per_step': 1024,
         'keyframes.held_out_every': 0, 'motion.align': False, 'motion.stereo': False,
         'occupancy.voxel_size': 0.2, 'sampling.near': 0.2, 'sampling.far': 10.0}  # fmt: skip
VIEWS = 8
ENTRIES, FEATURES = 500, 4


def gradients(rank):
    """Return gradients (ENTRIES, FEATURES) of a rank, and the rows that are not zero."""
    random = np.random.default_rng(rank)
    rows = random.choice(ENTRIES, 60 + 20 * rank, replace=False)
    values = np.zeros((ENTRIES, FEATURES), dtype=np.float32)
    values[rows] = random.normal(size=(len(rows), FEATURES))
    return values, rows


def mapper_of(ranks, device):
    """Return a mapper with the views of a rank of the painted room, ready to train."""
    mapper = Mapper(replace(Config(), {**SMALL, 'device': device, 'seed': ranks.rank}))
    mapper.measurements.grow_to(np.zeros(3))
    for number in ranks.block(list(range(VIEWS))):
        pose = scenes.poses(VIEWS)[number]
        mapper.add(*scenes.view(scenes.CAMERA, pose)[:1], scenes.CAMERA, pose,
                   scenes.view(scenes.CAMERA, pose)[1] if number % 2 else None)
    distribute(mapper, ranks)
    return mapper


def recorded_step(mapper):
    """Take a step, and return its rays, random numbers and parameters before it, by name."""
    inner, record = mapper.backend.train_step, {}

    def train_step(field, rays, occupancy, config, jitter, background, stride, budget):
        names = 'origins', 'directions', 'surfaces', 'pixels', 'jitter', 'background'
        record.update(zip(names, (x.clone() for x in (*rays.tensors(), jitter, background))))
        record.update({f'before {name}': x.clone() for name, x in field.state().items()})
        record['stride'] = torch.tensor(stride)
        record.update({f'grid {name}': torch.from_numpy(np.array(array))
                       for name, array in grid_state.to_arrays(occupancy).items()})
        return inner(field, rays, occupancy, config, jitter, background, stride, budget)

    class Recording:
        def __getattr__(self, name):
            return train_step if name == 'train_step' else getattr(mapper.backend, name)

    mapper.trainer.backend = Recording()
    mapper.step()
    mapper.trainer.backend = mapper.backend
    return {name: tensor.numpy() for name, tensor in record.items()}


def moments(field, optimizer):
    """Return Adam's first moments of the table, (levels, entries, FEATURES)."""
    if hasattr(field.geometry, 'lines'):  # of the CPU backend
        return field.geometry.lines[:, :, 2 * FEATURES : 3 * FEATURES]
    return optimizer.table_moments[0].numpy()


def main(path, device, task):
    """Run a task and write its arrays."""
    ranks = join()
    if task == 'die' and ranks.rank == 1:
        sys.exit(3)
    results = {}
    table = torch.from_numpy(gradients(ranks.rank)[0])
    rows = ranks.average_rows(table, torch.from_numpy(gradients(ranks.rank)[1]))
    results['averaged'], results['rows'] = table.numpy(), rows.numpy()
    mapper = mapper_of(ranks, device)
    results |= recorded_step(mapper)
    results['moments'] = moments(mapper.trainer.field, mapper.trainer.optimizer).copy()
    results['votes'] = (mapper.occupancy.hits.int() + mapper.occupancy.misses).numpy()
    for _ in range(30):
        mapper.step()
    results |= {f'after {name}': x.numpy() for name, x in mapper.trainer.field.state().items()}
    for name in ('density', 'density_state'):
        results[name] = getattr(mapper.occupancy, name).numpy()
    results['mean'] = ranks.mean(ranks.rank, 1.5)
    results['largest'] = ranks.largest(ranks.rank, -ranks.rank)
    collect(mapper, ranks)
    results['keyframe poses'] = mapper.keyframe_poses()
    results['all votes'] = (mapper.occupancy.hits.int() + mapper.occupancy.misses).numpy()
    np.savez(f'{path}/{ranks.rank}.npz', **results)
    ranks.leave()


if __name__ == '__main__':
    main(*sys.argv[1:])
