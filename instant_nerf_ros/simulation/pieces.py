"""Pieces of furniture for random rooms, with what is hard to map: thin legs, overhangs, gloss.

A piece is a list of boxes in its own frame: its back along y = 0 from x = 0, the front at the
highest y, the floor at z = 0; metres. It has its dimensions from a generator of random numbers.
"""
from random import Random

from instant_nerf_ros.simulation.boxes import Box, Texture
from instant_nerf_ros.simulation.choice import length, pick
from instant_nerf_ros.simulation.textures import books, carpet, fabric, painting, plaster, wood

WOODS = [wood(color) for color in ((186, 138, 88), (128, 82, 50), (212, 172, 116), (92, 64, 48))]
CLOTHS = [fabric(*colors) for colors in (
    ((120, 128, 140), (90, 98, 112)), ((84, 128, 116), (60, 96, 90)),
    ((212, 164, 64), (180, 128, 44)), ((178, 84, 62), (146, 60, 46)),
    ((70, 84, 130), (54, 62, 104)))]
PAINTS = [plaster(color, 0.10) for color in (
    (228, 226, 220), (168, 175, 182), (206, 190, 168), (140, 160, 170))]
STEEL, BLACK, LEAVES = plaster((168, 175, 182), 0.10), plaster((34, 34, 38), 0.2), plaster(
    (74, 124, 58), 0.35)
PICTURES = [painting(*colors) for colors in (
    ((58, 110, 150), (230, 225, 205), (30, 60, 100), (220, 160, 90)),
    ((228, 210, 160), (120, 150, 70), (190, 90, 50), (70, 90, 60)),
    ((240, 238, 230), (200, 60, 50), (40, 60, 120), (230, 190, 60)))]
GLOSSY = 0.4  # probability that what may be glossy is


def block(
    x: float, y: float, z: float, size: tuple[float, float, float], texture: Texture,
    reflects: bool = True,
) -> Box:  # fmt: skip
    """Return a box of a size (3,) from its lowest corner [m]."""
    return Box((x, y, z), (x + size[0], y + size[1], z + size[2]), texture, 0.01, reflects)


def legs(
    width: float, depth: float, height: float, inset: float, thickness: float, texture: Texture,
) -> list[Box]:  # fmt: skip
    """Return four legs under a top; inset: of the legs from its edges [m]."""
    far_x, far_y = width - inset - thickness, depth - inset - thickness
    return [block(x, y, 0.0, (thickness, thickness, height), texture)
            for x in (inset, far_x) for y in (inset, far_y)]


def table_of(random: Random, width: float, depth: float, height: float) -> list[Box]:
    """Return a table: on thin legs, at its edges or set back, or on a column in the middle."""
    top, thickness = pick(random, WOODS + PAINTS[:1]), 0.03
    plate = block(0, 0, height - thickness, (width, depth, thickness), top)
    if random.random() < 0.3:
        x, y = width / 2 - 0.03, depth / 2 - 0.03
        return [plate, block(x, y, 0.02, (0.06, 0.06, height - thickness - 0.02), STEEL),
                block(x - 0.17, y - 0.17, 0, (0.4, 0.4, 0.02), STEEL)]
    inset = pick(random, (0.02, 0.05, 0.15))
    return [plate, *legs(width, depth, height - thickness, inset, pick(
        random, (0.02, 0.03, 0.04)), pick(random, (STEEL, top)))]


def chair_at(random: Random, x: float, y: float, back: int) -> list[Box]:
    """Return a chair with its lowest corner at x, y; back +1: at its highest y, -1: lowest."""
    cloth, size = pick(random, CLOTHS + WOODS), 0.42
    rest = y + size - 0.03 if back > 0 else y
    return [block(x, y, 0.43, (size, size, 0.04), cloth),
            block(x, rest, 0.47, (size, 0.03, 0.42), cloth),
            *(block(x + dx, y + dy, 0, (0.03, 0.03, 0.43), STEEL)
              for dx in (0, size - 0.03) for dy in (0, size - 0.03))]


def dining_table(random: Random) -> list[Box]:
    """Return a table with chairs at two sides and a lamp that hangs over it."""
    width, depth = length(random, 1.2, 1.8), length(random, 0.75, 0.9)
    boxes = [*_moved(table_of(random, width, depth, length(random, 0.72, 0.76)), 0.0, 0.35)]
    for x in (0.12, width - 0.54):
        boxes += chair_at(random, x, 0.0, -1) if random.random() < 0.8 else []
        boxes += chair_at(random, x, depth + 0.28, 1) if random.random() < 0.8 else []
    z, x, y = length(random, 1.25, 1.6), width / 2, 0.35 + depth / 2
    return [*boxes, block(x - 0.2, y - 0.2, z, (0.4, 0.4, 0.18), pick(random, CLOTHS)),
            block(x - 0.01, y - 0.01, z + 0.18, (0.02, 0.02, 0.8), BLACK)]


def desk(random: Random) -> list[Box]:
    """Return a desk with a black screen and an office chair on a thin column."""
    width, depth, height = length(random, 1.2, 1.6), length(random, 0.7, 0.8), 0.74
    x, y = width / 2, depth + length(random, -0.1, 0.15)
    screen = 0.52
    return [
        *table_of(random, width, depth, height),
        block(x - screen / 2, 0.18, 0.88, (screen, 0.03, 0.33), BLACK, False),
        block(x - 0.03, 0.22, height, (0.06, 0.03, 0.2), STEEL),
        block(x - 0.1, 0.14, height, (0.2, 0.16, 0.015), STEEL),
        block(x + 0.3, 0.3, height, (0.22, 0.3, length(random, 0.02, 0.1)), books),
        block(x - 0.24, y + 0.22, 0.03, (0.48, 0.05, 0.04), BLACK),
        block(x - 0.025, y, 0.03, (0.05, 0.48, 0.04), BLACK),
        block(x - 0.02, y + 0.22, 0.07, (0.04, 0.05, 0.36), STEEL),
        block(x - 0.23, y + 0.02, 0.43, (0.46, 0.44, 0.07), pick(random, CLOTHS)),
        block(x - 0.2, y + 0.43, 0.55, (0.4, 0.04, 0.45), pick(random, CLOTHS))]


def sofa_group(random: Random) -> list[Box]:
    """Return a sofa with a low table on thin legs before it, on a rug."""
    width, cloth = length(random, 1.6, 2.2), pick(random, CLOTHS)
    reflects = random.random() > GLOSSY / 2  # else black leather
    boxes = [block(0, 0, 0.08, (width, 0.85, 0.34), cloth, reflects),
             block(0, 0, 0.42, (width, 0.22, 0.38), cloth, reflects),
             *(block(x, 0.22, 0.42, (0.14, 0.63, 0.18), cloth, reflects)
               for x in (0.0, width - 0.14)),
             *legs(width, 0.85, 0.08, 0.05, 0.04, pick(random, WOODS))]
    low = table_of(random, length(random, 0.7, 1.0), 0.5, length(random, 0.38, 0.45))
    return [*boxes, *_moved(low, width / 2 - 0.4, 0.85 + length(random, 0.3, 0.4)),
            block(0.1, 0.7, -0.05, (width - 0.2, 1.1, 0.055), carpet(
                (150, 48, 44), (226, 188, 120)))]


def bed(random: Random) -> list[Box]:
    """Return a bed on legs with a headboard."""
    width, cloth = pick(random, (0.95, 1.45, 1.65)), pick(random, CLOTHS)
    frame = pick(random, WOODS)
    return [block(0, 0, 0.2, (width, 2.05, 0.12), frame),
            block(0.03, 0.05, 0.32, (width - 0.06, 1.97, 0.18), cloth),
            block(0, 0, 0.32, (width, 0.04, 0.55), frame),
            block(0.12, 0.08, 0.5, (0.5, 0.35, 0.1), PAINTS[0]),
            *legs(width, 2.05, 0.2, 0.04, 0.05, frame)]


def wardrobe(random: Random) -> list[Box]:
    """Return a wardrobe, perhaps with glossy doors."""
    width, depth, height = length(random, 0.9, 1.8), length(random, 0.45, 0.6), length(
        random, 1.8, 2.1)
    reflects = random.random() > GLOSSY
    return [block(0, 0, 0, (width, depth - 0.02, height), pick(random, WOODS)),
            block(0, depth - 0.02, 0.08, (width, 0.02, height - 0.1), pick(
                random, PAINTS), reflects)]


def bookcase(random: Random) -> list[Box]:
    """Return a bookcase: thin sides and boards with gaps in the rows of books."""
    width, height, oak = length(random, 0.8, 1.4), length(random, 1.3, 2.0), pick(random, WOODS)
    boards = [0.35 * index for index in range(int(height / 0.35) + 1)]
    boxes = [block(x, 0, 0, (0.02, 0.3, height), oak) for x in (0.0, width - 0.02)]
    boxes += [block(0, 0, 0, (width, 0.01, height), oak)]
    boxes += [block(0.02, 0, z, (width - 0.04, 0.3, 0.02), oak) for z in boards]
    for z in boards[:-1]:
        used = (0.3 + 0.7 * random.random()) * (width - 0.04)
        boxes.append(block(0.02, 0.05, z + 0.02, (used, 0.2, length(
            random, 0.18, 0.28)), books))
    return boxes


def cupboard(random: Random) -> list[Box]:
    """Return a low cupboard with a vase, or with a black television."""
    width, top = length(random, 0.9, 1.5), length(random, 0.5, 0.8)
    boxes = [block(0, 0, 0, (width, 0.4, top), pick(random, WOODS), random.random() > GLOSSY / 2)]
    if random.random() < 0.5:
        return [*boxes, block(0.1, 0.15, top, (width - 0.2, 0.04, 0.5), BLACK, False)]
    return [*boxes, block(0.2, 0.12, top, (0.14, 0.14, 0.3), pick(random, PAINTS))]


def _moved(boxes: list[Box], x: float, y: float) -> list[Box]:
    """Return boxes moved along the floor [m]."""
    return [Box((box.low[0] + x, box.low[1] + y, box.low[2]),
                (box.high[0] + x, box.high[1] + y, box.high[2]),
                box.texture, box.texel_size, box.reflects) for box in boxes]
