"""Worker, in a separate environment: training steps of nerfstudio's torch field.

Usage: nerfstudio_field.py FILE, an .npz of `positions` (N, 3) in [0, 1]. Returns the seconds of
one step on these samples: forward, backward, Adam.
"""
import json
import sys
import time

import numpy as np
import torch
from nerfstudio.field_components.activations import trunc_exp
from nerfstudio.field_components.encodings import HashEncoding, SHEncoding
from nerfstudio.field_components.mlp import MLP

GEOMETRY = 16  # outputs of the density network


def make_step(positions):
    """Return a function that takes one training step."""
    grid = HashEncoding(
        num_levels=16, max_res=2048, log2_hashmap_size=19, features_per_level=2,
        implementation='torch')
    harmonics = SHEncoding(levels=4, implementation='torch')
    density = MLP(grid.get_out_dim(), 2, 64, GEOMETRY, implementation='torch')
    color = MLP(harmonics.get_out_dim() + GEOMETRY - 1, 3, 64, 3,
                out_activation=torch.nn.Sigmoid(), implementation='torch')
    parameters = [*grid.parameters(), *density.parameters(), *color.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01, eps=1e-15)
    count = len(positions)
    directions = torch.randn(count, 3)
    directions /= directions.norm(dim=-1, keepdim=True)
    gradients = torch.randn(count), torch.randn(count, 3)

    def step():
        geometry = density(grid(positions))
        densities = trunc_exp(geometry[:, 0])
        colors = color(torch.cat([harmonics(directions), geometry[:, 1:]], -1))
        optimizer.zero_grad()
        torch.autograd.backward([densities, colors], gradients)
        optimizer.step()
    return step


def main():
    """Serve until standard input ends."""
    step = make_step(torch.from_numpy(np.load(sys.argv[1])['positions']))
    for _ in sys.stdin:
        begin = time.perf_counter()
        step()
        print(json.dumps(time.perf_counter() - begin), flush=True)


main()
