"""The backend in plain PyTorch: the specification, the oracle of the tests, the fallback.

Shapes: N samples, R rays. Samples are flat and sorted by ray; ray r owns the samples
``offsets[r]:offsets[r + 1]``. Distances t are along unit directions, in metres.
"""
import math

import torch
from torch import nn

NAME = 'reference'
FEATURES = 4  # per level and entry, as instant-ngp has it today
GEOMETRY = 16  # outputs of the geometry network: log density and what the colour depends on
HARMONICS = 16  # real spherical harmonics up to degree 3
PRIMES = (1, 2654435761, 805459861)  # spatial hash, Mueller et al. 2022, eq. 4
MAX_LOG_DENSITY = 10.0
MIN_TRANSMITTANCE = 1e-3  # samples behind this are ignored
UNVISITED, EMPTY, SOLID = 0, 1, 2  # what the field says of a voxel
OCCUPIED, FREE, UNKNOWN = 100, 0, -1  # what the rays say of it, as in nav_msgs/OccupancyGrid
MIN_EVIDENCE = 3  # rays, before they say anything


def hash_encode(positions, table, scales):
    """Interpolate the hash grid: (N, 3) in [0, 1] -> (N, levels * FEATURES) float32.

    Level l has vertices at integer values of ``position * scales[l] + 0.5`` (tiny-cuda-nn's
    convention); every level is hashed. table is (levels, entries, FEATURES).
    """
    encoded = []
    for entries, scale in zip(table, scales):
        scaled = positions * scale + 0.5
        corner = scaled.floor()
        fraction = scaled - corner
        corner = corner.long()
        level = 0.0
        for bits in range(8):
            offset = torch.tensor([bits & 1, bits >> 1 & 1, bits >> 2 & 1])
            weight = torch.where(offset.bool(), fraction, 1 - fraction).prod(-1, keepdim=True)
            vertex = corner + offset
            index = vertex[:, 0] * PRIMES[0] ^ vertex[:, 1] * PRIMES[1] ^ vertex[:, 2] * PRIMES[2]
            level = level + weight * entries[index & (len(entries) - 1)]
        encoded.append(level)
    return torch.cat(encoded, -1)


def spherical_harmonics(directions):
    """Evaluate the real spherical harmonics up to degree 3: unit (N, 3) -> (N, HARMONICS)."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack([
        torch.full_like(x, 0.28209479177387814),
        -0.48860251190291987 * y,
        0.48860251190291987 * z,
        -0.48860251190291987 * x,
        1.0925484305920792 * x * y,
        -1.0925484305920792 * y * z,
        0.94617469575755997 * zz - 0.31539156525251999,
        -1.0925484305920792 * x * z,
        0.54627421529603959 * (xx - yy),
        0.59004358992664352 * y * (yy - 3 * xx),
        2.8906114426405538 * x * y * z,
        0.45704579946446572 * y * (1 - 5 * zz),
        0.3731763325901154 * z * (5 * zz - 3),
        0.45704579946446572 * x * (1 - 5 * zz),
        1.4453057213202769 * z * (xx - yy),
        0.59004358992664352 * x * (3 * yy - xx),
    ], dim=-1)  # fmt: skip


class GeometryNetwork(nn.Module):
    """Hash grid and one hidden layer: positions -> log density and geometry features."""

    def __init__(self, scales, log2_table, hidden):
        super().__init__()
        self.scales = tuple(scales)
        levels = len(self.scales)
        self.table = nn.Parameter(torch.empty(levels, 2**log2_table, FEATURES))
        nn.init.uniform_(self.table, -1e-4, 1e-4)
        self.hidden = nn.Parameter(glorot(hidden, levels * FEATURES))
        self.output = nn.Parameter(glorot(GEOMETRY, hidden))

    def forward(self, positions):
        """Map positions (N, 3) in [0, 1] to (N, GEOMETRY)."""
        encoded = hash_encode(positions, self.table, self.scales)
        return torch.relu(encoded @ self.hidden.T) @ self.output.T


class ColorNetwork(nn.Module):
    """Two hidden layers: view directions and geometry -> colours."""

    def __init__(self, hidden):
        super().__init__()
        self.hidden1 = nn.Parameter(glorot(hidden, HARMONICS + GEOMETRY))
        self.hidden2 = nn.Parameter(glorot(hidden, hidden))
        self.output = nn.Parameter(glorot(3, hidden))

    def forward(self, directions, ray_indices, geometry):
        """Map geometry (N, GEOMETRY) to colours (N, 3) in [0, 1].

        Sample n is seen along the unit direction directions[ray_indices[n]].
        """
        inputs = torch.cat([spherical_harmonics(directions)[ray_indices], geometry], -1)
        hidden = torch.relu(torch.relu(inputs @ self.hidden1.T) @ self.hidden2.T)
        return torch.sigmoid(hidden @ self.output.T)


def glorot(outputs, inputs):
    """Return a weight matrix (outputs, inputs), uniform after Glorot and Bengio 2010."""
    return nn.init.xavier_uniform_(torch.empty(outputs, inputs))


class Adam:
    """Adam (Kingma and Ba 2015) that leaves grid entries without a gradient as they are.

    Each entry of the grid counts its own updates for the bias correction, so that a place seen
    late learns as fast as one seen early.
    """

    def __init__(self, geometry, color, beta1, beta2, epsilon, weight_decay):
        self.table = geometry.table
        self.matrices = [geometry.hidden, geometry.output, *color.parameters()]
        self.beta1, self.beta2 = beta1, beta2
        self.epsilon, self.weight_decay = epsilon, weight_decay
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.matrices]
        self.table_moments = torch.zeros_like(self.table), torch.zeros_like(self.table)
        self.table_steps = torch.zeros(*self.table.shape[:2], 1)
        self.steps = 0

    def zero_grad(self):
        """Forget the gradients."""
        for parameter in (self.table, *self.matrices):
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate):
        """Update all parameters from their gradients."""
        self.steps += 1
        for parameter, moments in zip(self.matrices, self.moments):
            if parameter.grad is not None:
                gradient = parameter.grad + self.weight_decay * parameter
                parameter -= learning_rate * self._change(gradient, moments, self.steps)
        if self.table.grad is None:
            return
        touched = (self.table.grad != 0).any(-1)
        self.table_steps[touched] += 1
        moments = [moment[touched] for moment in self.table_moments]
        change = self._change(self.table.grad[touched], moments, self.table_steps[touched])
        self.table[touched] -= learning_rate * change
        for moment, updated in zip(self.table_moments, moments):
            moment[touched] = updated

    def _change(self, gradient, moments, steps):
        first, second = moments
        first.lerp_(gradient, 1 - self.beta1)
        second.lerp_(gradient * gradient, 1 - self.beta2)
        corrected = second / (1 - self.beta2**steps)
        return first / (1 - self.beta1**steps) / (corrected.sqrt() + self.epsilon)


def march(
    origins, directions, near, far, limits, jitter, surfaces, voxels, grid_origin, voxel_size,
    min_step, cone, band, band_samples, visited_only,
):  # fmt: skip
    """Place samples along rays, skipping voxels: the EMPTY, and with visited_only the UNVISITED.

    A ray is cut at t(0) = near + jitter * step(near), t(k + 1) = t(k) + step(t(k)) and at far,
    with step(t) = max(min_step, cone * t); an interval is a sample if its middle lies in
    the grid, in a voxel that is not skipped; a ray has at most its limit of these. A ray with a
    measured surface s > 0 ends with band_samples equal intervals over s +- band, skipped or not,
    and has no sample behind them.

    Args: origins, directions (R, 3); near, far (R,); limits (R,) int32; jitter (R,) in [0, 1);
    surfaces (R,); voxels (nx, ny, nz) uint8; grid_origin (3,), the corner of voxel (0, 0, 0).
    Returns offsets (R + 1,) int64, t_starts (N,), t_ends (N,) float32.
    """
    device = origins.device
    sampled = torch.tensor([not visited_only, False, True], device=device)
    measured = surfaces > 0
    end = torch.where(measured, torch.minimum(far, surfaces - band), far)
    t = near + jitter * (cone * near).clamp(min=min_step)
    starts, ends, rays = [], [], []
    counts = torch.zeros_like(limits)
    while (t < end).any():
        following = t + (cone * t).clamp(min=min_step)
        stop = torch.minimum(following, end)
        middle = (t + stop) / 2
        cells = (origins + middle[:, None] * directions - grid_origin) / voxel_size
        cells = cells.floor().long()
        shape = torch.tensor(voxels.shape, device=device)
        inside = ((cells >= 0) & (cells < shape)).all(-1)
        x, y, z = torch.where(inside[:, None], cells, 0).unbind(-1)
        taken = (t < end) & inside & sampled[voxels[x, y, z].long()] & (counts < limits)
        ray = torch.nonzero(taken)[:, 0]
        counts += taken
        starts.append(t[ray])
        ends.append(stop[ray])
        rays.append(ray)
        t = following
    edges = torch.linspace(-1, 1, band_samples + 1, device=device) * band
    ray = torch.nonzero(measured)[:, 0]
    around = (surfaces[ray, None] + edges).clamp(min=0)
    starts.append(around[:, :-1].flatten())
    ends.append(around[:, 1:].flatten())
    rays.append(ray.repeat_interleave(band_samples))
    rays = torch.cat(rays)
    order = torch.argsort(rays, stable=True)
    offsets = torch.zeros(len(origins) + 1, dtype=torch.int64, device=device)
    offsets[1:] = torch.bincount(rays, minlength=len(origins)).cumsum(0)
    return offsets, torch.cat(starts)[order], torch.cat(ends)[order]


def composite(densities, colors, t_starts, t_ends, offsets):
    """Render samples front to back (Max 1995; Mildenhall et al. 2020, eq. 3).

    weight_i = T_i (1 - exp(-density_i delta_i)), T_i = exp(-sum_{j<i} density_j delta_j). Two
    samples of density ln 2 per metre and 1 m long: weights 1/2 and 1/4. Samples where T_i is
    below MIN_TRANSMITTANCE weigh nothing.

    Args: densities (N,) per metre; colors (N, 3); t_starts, t_ends (N,); offsets (R + 1,).
    Returns colours (R, 3), distances (R,) = sum of weight * middle, opacities (R,) = sum of
    weights, weights (N,). Differentiable to densities and colours.
    """
    counts = offsets.diff()
    rays = torch.repeat_interleave(torch.arange(len(counts)), counts)
    thickness = densities * (t_ends - t_starts)
    # exp(-100) lets nothing through; more would cost the sum over all rays its digits.
    bounded = thickness.double().clamp(max=100)
    before = bounded.cumsum(0) - bounded
    first = torch.cat([before, before.new_zeros(1)])[offsets[:-1]]
    transmittance = torch.exp(-(before - first[rays])).to(densities.dtype)
    transmittance = torch.where(transmittance < MIN_TRANSMITTANCE, 0.0, transmittance)
    weights = transmittance * -torch.expm1(-thickness)
    values = torch.cat(
        [colors, ((t_starts + t_ends) / 2)[:, None], torch.ones_like(weights)[:, None]], -1)
    sums = values.new_zeros(len(counts), 5).index_add(0, rays, weights[:, None] * values)
    return sums[:, :3], sums[:, 3], sums[:, 4], weights


def median_distance(weights, t_starts, t_ends, offsets):
    """Return the distance (R,) at which half of the light is absorbed; 0 where it never is.

    Unlike the mean it lies on a surface, also where a ray grazes an edge. The weight of a sample
    is taken as spread evenly over its interval.
    """
    counts = offsets.diff()
    rays = torch.repeat_interleave(torch.arange(len(counts)), counts)
    through = weights.double().cumsum(0)
    first = torch.cat([through - weights, through.new_zeros(1)])[offsets[:-1]]
    through = through - first[rays]
    before = through - weights
    crossing = torch.nonzero((through >= 0.5) & (before < 0.5))[:, 0]
    share = (0.5 - before[crossing]) / weights[crossing]
    distances = weights.new_zeros(len(counts))
    lengths = t_ends[crossing] - t_starts[crossing]
    distances[rays[crossing]] = t_starts[crossing] + share.to(weights.dtype) * lengths
    return distances


def visit(positions, densities, stored, voxels, grid_origin, voxel_size, decay, threshold):
    """Note the density found at positions in the voxels they lie in, one after the other.

    stored becomes max(decay * stored, density) (instant-ngp's rule); an UNVISITED voxel starts at
    twice the threshold, so that it takes some visits to call it empty. Writes stored (nx, ny, nz)
    float32 and voxels (nx, ny, nz) uint8: EMPTY if stored is below the threshold, else SOLID.
    """
    cells = ((positions - grid_origin) / voxel_size).floor().long().tolist()
    shape = stored.shape
    for cell, density in zip(map(tuple, cells), densities.tolist()):
        if all(0 <= index < size for index, size in zip(cell, shape)):
            old = 2 * threshold if voxels[cell] == UNVISITED else stored[cell].item()
            stored[cell] = max(decay * old, density)
            voxels[cell] = EMPTY if stored[cell].item() < threshold else SOLID


def carve(
    origins, directions, distances, measured, pixels,
    hits, passes, colors, voxels, grid_origin, voxel_size,
):  # fmt: skip
    """Count in the voxels the rays that end there and those that pass through.

    A ray of positive distance is a hit in the voxel where it ends, and a pass in every voxel it
    crosses up to one voxel edge before its end, apart from that one. Where either count is full
    both are halved, so that old evidence fades. The colour of a voxel moves by a quarter towards
    each hit's pixel. A voxel that a measured ray passes becomes EMPTY, if that leaves its state
    free (see `state`): no sample needs to ask what a sensor has answered.

    Args: origins, directions (R, 3); distances (R,); measured (R,) bool; pixels (R, 3) uint8.
    Writes hits, passes, voxels (nx, ny, nz) uint8 and colors (nx, ny, nz, 3) uint8.
    """
    shape = hits.shape
    for origin, direction, distance, sure, pixel in zip(
        origins.tolist(), directions.tolist(), distances.tolist(),
        measured.tolist(), pixels.tolist(),
    ):  # fmt: skip
        if distance <= 0:
            continue
        corner = grid_origin.tolist()
        start = [(o - c) / voxel_size for o, c in zip(origin, corner)]
        along = [d / voxel_size for d in direction]
        end = tuple(math.floor(s + a * distance) for s, a in zip(start, along))
        for cell in _crossed(start, along, distance - voxel_size):
            if cell != end and _inside(cell, shape):
                _count(passes, hits, cell)
                if sure and state(int(hits[cell]), int(passes[cell])) == FREE:
                    voxels[cell] = EMPTY
        if _inside(end, shape):
            _count(hits, passes, end)
            for channel, value in enumerate(pixel):
                old = colors[(*end, channel)].item()
                blended = value if hits[end] == 1 else (3 * old + value + 2) // 4
                colors[(*end, channel)] = blended


def state(hits, passes):
    """Return OCCUPIED, FREE or UNKNOWN for a voxel with that many hits and passes.

    Occupied if a quarter of the rays end there, free if less than a twentieth does; unknown in
    between, and with fewer than MIN_EVIDENCE of either.
    """
    if hits >= MIN_EVIDENCE and 4 * hits >= hits + passes:
        return OCCUPIED
    if hits + passes >= MIN_EVIDENCE and 20 * hits < hits + passes:
        return FREE
    return UNKNOWN


def states(hits, passes):
    """Return the state of every voxel, int8, shaped as hits and passes (uint8)."""
    hits = hits.int()
    rays = hits + passes.int()
    result = torch.full(hits.shape, UNKNOWN, dtype=torch.int8)
    result[(rays >= MIN_EVIDENCE) & (20 * hits < rays)] = FREE
    result[(hits >= MIN_EVIDENCE) & (4 * hits >= rays)] = OCCUPIED
    return result


def _crossed(start, along, length):
    """Return the voxels that a ray crosses in 0 <= t <= length, found from its face crossings."""
    if length <= 0:
        return []
    cuts = {0.0, length}
    for s, a in zip(start, along):
        if a != 0:
            low, high = sorted((s, s + a * length))
            cuts |= {(face - s) / a for face in range(math.ceil(low), math.floor(high) + 1)}
    cuts = sorted(cut for cut in cuts if 0 <= cut <= length)
    middles = [(a + b) / 2 for a, b in zip(cuts, cuts[1:]) if b - a > 1e-6]
    return [tuple(math.floor(s + a * m) for s, a in zip(start, along)) for m in middles]


def _inside(cell, shape):
    return all(0 <= index < size for index, size in zip(cell, shape))


def _count(counts, others, cell):
    if counts[cell] == 255:
        counts[cell] //= 2
        others[cell] //= 2
    counts[cell] += 1
