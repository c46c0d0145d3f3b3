"""Field: density and colour at positions in the world.

The only place where metres become the unit cube of the hash grid. The cube is far larger than any
map, so the grid has no border to outgrow: its vertices lie on a lattice fixed in the world, and
hashing spends entries only on places that were seen.
"""
import torch

EXTENT = 512.0  # metres, edge of the unit cube, centred on the world's origin
MAX_LOG_DENSITY = 10.0  # exp(10) per metre is opaque within a millimetre


def geometry_settings(config):
    """Return the arguments of a backend's GeometryNetwork: scales, log2_table, hidden."""
    growth = 1.0
    if config.levels > 1:
        growth = (config.coarsest_cell / config.finest_cell) ** (1 / (config.levels - 1))
    # tiny-cuda-nn's convention: scale = base * growth^level - 1, base = vertices per axis.
    base = EXTENT / config.coarsest_cell + 1
    scales = [base * growth**level - 1 for level in range(config.levels)]
    return scales, config.log2_table, config.hidden


class _TruncatedExp(torch.autograd.Function):
    """exp, with the gradient bounded where exp grows out of all proportion (Mueller 2022)."""

    @staticmethod
    def forward(ctx, logarithm):
        density = logarithm.clamp(max=MAX_LOG_DENSITY).exp()
        ctx.save_for_backward(density)
        return density

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0]


class Field:
    """A hash grid and two small networks. Positions are in metres, world frame."""

    extent = EXTENT

    def __init__(self, config, backend):
        self.geometry = backend.GeometryNetwork(*geometry_settings(config))
        self.color = backend.ColorNetwork(config.hidden)

    def __call__(self, samples, directions, visible):
        """Return densities (N,) per metre and colours (N, 3) of samples on rays (R, 3).

        visible(densities) tells which samples (N,) light comes from; the others get no colour,
        and cost none.
        """
        geometry = self.geometry(samples.positions / EXTENT + 0.5)
        densities = _TruncatedExp.apply(geometry[:, 0])
        seen = torch.nonzero(visible(densities.detach()))[:, 0]
        colors = self.color(directions, samples.ray_indices[seen], geometry[seen])
        return densities, colors.new_zeros(len(densities), 3).index_copy(0, seen, colors)

    @torch.no_grad()
    def density(self, positions):
        """Return the densities (N,) per metre at positions (N, 3), without gradient."""
        return _TruncatedExp.apply(self.geometry(positions / EXTENT + 0.5)[:, 0])

    def zero_grad(self):
        """Forget the gradients."""
        for network in (self.geometry, self.color):
            network.zero_grad()

    def state(self):
        """Return all parameters as {name: tensor}, the same names for every backend."""
        networks = {'geometry': self.geometry, 'color': self.color}
        return {
            f'{network}.{name}': parameter.detach()
            for network, module in networks.items()
            for name, parameter in module.named_parameters()
        }

    @torch.no_grad()
    def load(self, state):
        """Copy parameters from a dictionary like that of `state`.

        Raises ValueError where names or shapes differ.
        """
        own = self.state()
        if own.keys() != state.keys():
            raise ValueError(f'the field has {sorted(own)}, the file {sorted(state)}')
        for name, parameter in own.items():
            if parameter.shape != state[name].shape:
                raise ValueError(
                    f'{name} is {tuple(parameter.shape)} here but {tuple(state[name].shape)} in '
                    'the file: load it with the field settings that it was saved with')
        for name, parameter in own.items():
            parameter.copy_(torch.as_tensor(state[name]))
