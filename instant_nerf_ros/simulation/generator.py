"""The generator: a random building for each kind and seed, the same on every platform."""
import dataclasses
import math
from random import Random

import numpy as np

from instant_nerf_ros.simulation.boxes import Albedo, Box, Surface, Texture
from instant_nerf_ros.simulation.building import Building
from instant_nerf_ros.simulation.choice import length, pick
from instant_nerf_ros.simulation.floor_plan import (
    Door,
    FloorPlan,
    corridor_plan,
    flat_plan,
    office_plan,
)
from instant_nerf_ros.simulation.furnishing import furnish, passable
from instant_nerf_ros.simulation.pieces import WOODS, block
from instant_nerf_ros.simulation.textures import bricks, planks, plaster, tiles, wallpaper

PLANS = {'flat': flat_plan, 'office': office_plan, 'corridor': corridor_plan}
FLOORS = planks((176, 128, 84)), planks((120, 88, 62)), tiles((226, 220, 206), (126, 138, 142)), (
    plaster((120, 124, 132), 0.15))
WALLS = [plaster(color, 0.13) for color in (
    (142, 172, 192), (216, 190, 168), (190, 200, 170), (225, 215, 190))] + [
    wallpaper((226, 208, 176), (204, 180, 142)), bricks((184, 108, 82))]
WHITE = plaster((222, 220, 214), 0.09)
PLAIN = 0.5  # contrast below which all walls are white
SLAB = 0.2  # m, thickness of floors, ceilings and outer walls
DOOR_HEIGHT = 2.02  # m
LAMP_AREA = 12.0  # m^2 of floor for each lamp, which are two lights for soft shadows
LAMP_LIGHT = 1.0  # intensity of a lamp


def generate(
    kind: str, seed: int, contrast: float = 1.0, brightness: float = 1.0,
) -> Building:  # fmt: skip
    """Return a furnished building, turned and moved at random against the axes of the world.

    kind: a key of PLANS. contrast: of all textures, from 0, plain (and white walls below PLAIN),
    to 1, rich. brightness: of the lamps, 1 as in a well-lit room.
    Raises ValueError for another kind.
    """
    if kind not in PLANS:
        raise ValueError(f"unknown kind of building '{kind}'; known are: {', '.join(PLANS)}")
    random = Random(f'{kind} {seed}')
    plan = PLANS[kind](random)
    ceiling = length(random, 2.4, 2.9)
    boxes = _shell(random, plan, ceiling, contrast)
    boxes += furnish(random, plan, boxes)
    size = np.array([plan.inside.width, plan.inside.depth, ceiling])
    # The middle is near the origin, and no face is on the border of a voxel by construction.
    move = np.array([-size[0] / 2 + random.random(), -size[1] / 2 + random.random(), 0.0])
    lamps = [
        (x + dx, y + dy, ceiling - 0.25) for room in plan.rooms
        for x, y in _lamp_places(room.area.width, room.area.depth, room.area.west, room.area.south)
        for dx, dy in ((-0.25, -0.2), (0.25, 0.2))]
    return Building(
        tuple(dataclasses.replace(
            box, low=tuple(box.low + move), high=tuple(box.high + move),
            texture=with_contrast(box.texture, contrast)) for box in boxes),
        move, move + size, np.array(lamps) + move, LAMP_LIGHT * brightness * len(lamps) / 2,
        yaw=2 * math.pi * random.random())


def with_contrast(texture: Texture, contrast: float) -> Texture:
    """Return a texture whose differences from its mean color are multiplied by a factor."""
    def changed(surface: Surface) -> Albedo:
        albedo = texture(surface)
        mean = albedo.mean(axis=(0, 1))
        return mean + np.float32(contrast) * (albedo - mean)
    return changed


def _shell(random: Random, plan: FloorPlan, ceiling: float, contrast: float) -> list[Box]:
    """Return floors, ceiling, walls, and what is above and beside the doors."""
    walls = WALLS if contrast >= PLAIN else [WHITE]
    width, depth = plan.inside.width, plan.inside.depth
    size = width + 2 * SLAB, depth + 2 * SLAB
    tall = ceiling + 2 * SLAB
    boxes = [block(-SLAB, -SLAB, ceiling, (*size, SLAB), WHITE)]
    boxes += [block(-SLAB, -SLAB, -SLAB, (*size, SLAB), pick(random, FLOORS))]
    boxes += [block(x, -SLAB, -SLAB, (SLAB, size[1], tall), pick(random, walls))
              for x in (-SLAB, width)]
    boxes += [block(0, y, -SLAB, (width, SLAB, tall), pick(random, walls))
              for y in (-SLAB, depth)]
    for wall in plan.walls():
        boxes.append(block(wall.west, wall.south, 0, (wall.width, wall.depth, ceiling),
                           pick(random, walls)))
    for door in plan.doors:
        area = door.area
        boxes.append(block(area.west, area.south, DOOR_HEIGHT, (
            area.width, area.depth, ceiling - DOOR_HEIGHT), pick(random, walls)))
        if random.random() < 0.4:
            leaf = _leaf(random, door)
            boxes += [leaf] if passable(plan, [*boxes, leaf]) else []
    return boxes


def _leaf(random: Random, door: Door) -> Box:
    """Return the leaf of an open door: a plate of 4 cm, at a right angle to the wall."""
    area, wood = door.area, pick(random, WOODS)
    inward = random.random() < 0.5
    if door.axis == 0:
        width = area.depth
        x = area.east if inward else area.west - width
        return block(round(x, 2), area.south - 0.03, 0.01, (width, 0.04, DOOR_HEIGHT - 0.03), wood)
    width = area.width
    y = area.north if inward else area.south - width
    return block(area.west - 0.03, round(y, 2), 0.01, (0.04, width, DOOR_HEIGHT - 0.03), wood)


def _lamp_places(
    width: float, depth: float, west: float, south: float,
) -> list[tuple[float, float]]:  # fmt: skip
    """Return places of lamps in a room, in a grid [m]."""
    count = max(1, round(width * depth / LAMP_AREA))
    columns = max(1, min(count, round(math.sqrt(count * width / depth))))
    rows = max(1, round(count / columns))
    return [(west + width * (column + 0.5) / columns, south + depth * (row + 0.5) / rows)
            for column in range(columns) for row in range(rows)]
