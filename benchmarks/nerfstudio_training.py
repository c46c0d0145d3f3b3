"""Worker, in a separate environment: trains nerfstudio's torch field on posed images.

The request has `train` and `held_out`, lists of image (H, W, 3), directions (H * W, 3) and
T_world_camera (4, 4); near and far; low and high (3,), the corners of the scene; white: whether
that is the background; seconds. The result has the mean PSNR of the held-out views, and the steps.
Samples are stratified between near and far, and resampled by weight (Mildenhall et al. 2020), as
nerfacc's occupancy grid needs a GPU.
"""
import pickle
import sys
import time

import numpy as np
import torch
from nerfstudio.field_components.activations import trunc_exp
from nerfstudio.field_components.encodings import HashEncoding, SHEncoding
from nerfstudio.field_components.mlp import MLP

RAYS, COARSE, FINE = 256, 32, 32  # of a step; samples of a ray
FEATURES, RATE, LAST_RATE, CHUNK = 16, 0.01, 0.1, 4096
JUDGED = 2000  # random pixels of a held-out view: all of them would take hours


class Field(torch.nn.Module):
    """The layers of nerfacto and instant-ngp."""

    def __init__(self, low, high):
        super().__init__()
        self.low, self.size = low, (high - low).max()
        self.grid = HashEncoding(
            num_levels=16, max_res=2048, log2_hashmap_size=19, features_per_level=2,
            implementation='torch')
        self.harmonics = SHEncoding(levels=4, implementation='torch')
        self.density = MLP(self.grid.get_out_dim(), 2, 64, FEATURES, implementation='torch')
        self.color = MLP(self.harmonics.get_out_dim() + FEATURES - 1, 3, 64, 3,
                         out_activation=torch.nn.Sigmoid(), implementation='torch')

    def forward(self, positions, directions):
        """Return densities (..., ) and colors (..., 3)."""
        shape = positions.shape[:-1]
        unit = ((positions.reshape(-1, 3) - self.low) / self.size).clamp(0, 1)
        geometry = self.density(self.grid(unit))
        directions = directions[:, None].expand(*shape, 3).reshape(-1, 3)
        colors = self.color(torch.cat([self.harmonics(directions), geometry[:, 1:]], -1))
        return trunc_exp(geometry[:, 0]).view(shape), colors.view(*shape, 3)


def _weights(densities, edges):
    thickness = densities * edges.diff(dim=-1)
    before = torch.cumsum(thickness, -1) - thickness
    return torch.exp(-before) * -torch.expm1(-thickness)


def _render(field, origins, directions, request, jitter):
    """Return the colors (R, 3) and opacities (R, 1) of rays."""
    count = len(origins)
    edges = torch.linspace(request['near'], request['far'], COARSE + 1).expand(count, -1)
    with torch.no_grad():
        middles = (edges[:, 1:] + edges[:, :-1]) / 2
        densities, _ = field(origins[:, None] + middles[..., None] * directions[:, None],
                             directions)
        weights = _weights(densities, edges) + 1e-3
        weights = weights / weights.sum(-1, keepdim=True)
        sums = torch.nn.functional.pad(weights.cumsum(-1), (1, 0))
        within = torch.rand(count, FINE) if jitter else torch.full((count, FINE), 0.5)
        shares = (torch.arange(FINE) + within) / FINE
        place = torch.searchsorted(sums, shares).clamp(1, COARSE)
        low, high = sums.gather(1, place - 1), sums.gather(1, place)
        part = (shares - low) / (high - low).clamp(min=1e-6)
        left, right = edges.gather(1, place - 1), edges.gather(1, place)
        edges = torch.cat([edges, left + part.clamp(0, 1) * (right - left)], -1).sort(-1)[0]
    middles = (edges[:, 1:] + edges[:, :-1]) / 2
    densities, colors = field(origins[:, None] + middles[..., None] * directions[:, None],
                              directions)
    weights = _weights(densities, edges)
    return (weights[..., None] * colors).sum(1), weights.sum(1, keepdim=True)


def _views(views):
    """Return, of each view, pixels (P, 3) in [0, 1], origin (3,) and directions (P, 3)."""
    return [(torch.from_numpy(image.reshape(-1, 3)).float() / 255,
             torch.from_numpy(pose[:3, 3]).float(),
             torch.from_numpy(directions @ pose[:3, :3].T.astype(np.float32)).float())
            for image, directions, pose in views]


def train(request):
    """Return the PSNR and the steps after the seconds of the request."""
    torch.manual_seed(0)
    low, high = (torch.tensor(request[name], dtype=torch.float32) for name in ('low', 'high'))
    field, views = Field(low, high), _views(request['train'])
    optimizer = torch.optim.Adam(field.parameters(), lr=RATE, eps=1e-15)
    pixels, directions = (torch.cat([view[i] for view in views]) for i in (0, 2))
    origins = torch.cat([view[1].expand(len(view[0]), 3) for view in views])
    white, steps, begin = float(request['white']), 0, time.monotonic()
    while (share := (time.monotonic() - begin) / request['seconds']) < 1:
        optimizer.param_groups[0]['lr'] = RATE * LAST_RATE**share
        chosen = torch.randint(len(pixels), (RAYS,))
        colors, opacities = _render(field, origins[chosen], directions[chosen], request, True)
        loss = torch.nn.functional.huber_loss(
            colors + white * (1 - opacities), pixels[chosen], delta=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    with torch.no_grad():
        return {'psnr': float(np.mean([_psnr(field, view, request) for view in
                                       _views(request['held_out'])])), 'steps': steps}


def _psnr(field, view, request):
    pixels, origin, directions = view
    errors = []
    for chosen in torch.randperm(len(pixels))[:JUDGED].split(CHUNK):
        colors, opacities = _render(
            field, origin.expand(len(chosen), 3), directions[chosen], request, False)
        colors = colors + float(request['white']) * (1 - opacities)
        errors.append((colors.clamp(0, 1) - pixels[chosen]).square().mean(1))
    return -10 * float(torch.cat(errors).mean().log10())


if __name__ == '__main__':
    pickle.dump(train(pickle.load(sys.stdin.buffer)), sys.stdout.buffer)
