"""Kitchens, small things on the floor, and what hangs on walls: pieces like those of `pieces`."""
from random import Random

from instant_nerf_ros.simulation.boxes import Box
from instant_nerf_ros.simulation.choice import length, pick
from instant_nerf_ros.simulation.pieces import (
    BLACK,
    CLOTHS,
    GLOSSY,
    LEAVES,
    PAINTS,
    PICTURES,
    STEEL,
    WOODS,
    block,
    legs,
)
from instant_nerf_ros.simulation.textures import books, plaster, window


def kitchen_counter(random: Random) -> list[Box]:
    """Return a counter whose top sticks out over its base, wall cupboards, and a fridge."""
    width, front = length(random, 1.6, 2.2), pick(random, PAINTS + WOODS)
    reflects = random.random() > GLOSSY
    return [block(0, 0, 0.1, (width, 0.56, 0.76), front, reflects),
            block(0, 0, 0, (width, 0.5, 0.1), BLACK),
            block(0, 0, 0.86, (width, 0.66, 0.04), pick(random, WOODS)),
            block(0.3, 0.15, 0.9, (0.45, 0.4, 0.02), BLACK, False),
            block(width - 0.5, 0.2, 0.9, (0.25, 0.2, 0.25), STEEL),
            block(0, 0, 1.42, (width, 0.35, 0.65), pick(random, PAINTS)),
            block(width + 0.02, 0, 0, (0.6, 0.62, length(random, 1.4, 1.85)), STEEL,
                  random.random() > GLOSSY)]


def plant(random: Random) -> list[Box]:
    """Return a pot with a plant that is wider than its pot."""
    top = length(random, 0.9, 1.5)
    return [block(0.12, 0.12, 0, (0.3, 0.3, 0.32), plaster((176, 96, 66), 0.15)),
            block(0.25, 0.25, 0.32, (0.03, 0.03, top - 0.5), WOODS[1]),
            block(0.05, 0.08, top - 0.45, (0.3, 0.35, 0.3), LEAVES),
            block(0.15, 0.0, top - 0.2, (0.4, 0.3, 0.2), LEAVES)]


def floor_lamp(random: Random) -> list[Box]:
    """Return a lamp on a pole of 2 cm."""
    top = length(random, 1.3, 1.6)
    return [block(0.06, 0.06, 0, (0.28, 0.28, 0.02), STEEL),
            block(0.19, 0.19, 0.02, (0.02, 0.02, top), STEEL),
            block(0, 0, top, (0.4, 0.4, 0.28), pick(random, CLOTHS))]


def stool(random: Random) -> list[Box]:
    """Return a stool on thin legs."""
    size, height = length(random, 0.32, 0.4), length(random, 0.45, 0.75)
    return [block(0, 0, height, (size, size, 0.03), pick(random, WOODS)),
            *legs(size, size, height, 0.02, 0.02, STEEL)]


def coat_stand(random: Random) -> list[Box]:
    """Return a pole of 3 cm with arms and a coat."""
    return [block(0.1, 0.1, 0, (0.3, 0.3, 0.03), WOODS[1]),
            block(0.235, 0.235, 0.03, (0.03, 0.03, 1.65), WOODS[1]),
            block(0.0, 0.235, 1.6, (0.5, 0.03, 0.03), WOODS[1]),
            block(0.02, 0.12, 0.85, (0.12, 0.26, 0.75), pick(random, CLOTHS))]


def boxes_on_floor(random: Random) -> list[Box]:
    """Return cartons, one on another."""
    card = plaster((196, 160, 112), 0.16)
    width, depth, height = (length(random, 0.3, 0.6) for _ in range(3))
    return [block(0, 0, 0, (width, depth, height), card),
            block(0.03, 0.02, height, (0.8 * width, 0.7 * depth, length(random, 0.1, 0.35)), card)]


def bin_of_black(_: Random) -> list[Box]:
    """Return a black bin."""
    return [block(0, 0, 0, (0.28, 0.28, 0.38), BLACK, False)]


def bench(random: Random) -> list[Box]:
    """Return a bench of slats on thin legs."""
    width, oak = length(random, 1.0, 1.5), pick(random, WOODS)
    return [*(block(0, 0.02 + 0.12 * row, 0.42, (width, 0.09, 0.03), oak) for row in range(3)),
            *legs(width, 0.38, 0.42, 0.03, 0.03, STEEL)]


def radiator(random: Random) -> list[Box]:
    """Return a radiator on the wall, above the floor."""
    return [block(0, 0.04, 0.12, (length(random, 0.7, 1.3), 0.08, 0.5), PAINTS[0])]


def wall_shelf(random: Random) -> list[Box]:
    """Return a shelf that sticks out of the wall with nothing under it."""
    width, z, oak = length(random, 0.6, 1.1), length(random, 0.95, 1.4), pick(random, WOODS)
    depth = length(random, 0.2, 0.3)
    return [block(0, 0, z, (width, depth, 0.03), oak),
            block(0.05, 0.02, z + 0.03, (0.5 * width, 0.16, 0.24), books)]


def picture(random: Random) -> list[Box]:
    """Return a picture on the wall."""
    width, height = length(random, 0.4, 1.0), length(random, 0.4, 0.8)
    return [block(0, 0, 1.3, (width, 0.02, height), pick(random, PICTURES))]


def whiteboard(random: Random) -> list[Box]:
    """Return a glossy whiteboard."""
    return [block(0, 0, 0.9, (length(random, 1.2, 1.8), 0.02, 1.0), PAINTS[0], False)]


def glass_pane(random: Random) -> list[Box]:
    """Return a window, of which a depth sensor sees nothing, with its sill."""
    width = length(random, 0.9, 1.8)
    return [block(0, 0, 0.9, (width, 0.03, 1.2), window, False),
            block(-0.05, 0, 0.86, (width + 0.1, 0.18, 0.04), PAINTS[0])]
