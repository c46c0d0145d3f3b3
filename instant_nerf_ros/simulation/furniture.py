"""The plan of the simulated flat: rooms and furniture as boxes, one function per piece.

Plan coordinates: a corner of the flat is (0, 0), x east, y north, z up; metres, multiples of 5 cm.
"""
import numpy as np

from instant_nerf_ros.simulation.boxes import Box, Texture
from instant_nerf_ros.simulation.textures import (
    books,
    bricks,
    carpet,
    fabric,
    painting,
    planks,
    plaster,
    tiles,
    wallpaper,
    window,
    wood,
)

SIZE = (7.0, 5.0, 2.5)  # metres, of both rooms together
# Positions (L, 3) [m]; four lamps in a group make shadows soft.
LAMPS = np.array([(x + dx, y + dy, 2.20) for x, y in ((1.9, 2.5), (5.4, 2.6))
                  for dx, dy in ((-0.3, -0.2), (0.3, -0.2), (-0.2, 0.3), (0.25, 0.2))])
OAK, WALNUT, PINE = wood((186, 138, 88)), wood((128, 82, 50)), wood((212, 172, 116))
WHITE, STEEL = plaster((228, 226, 220), 0.08), plaster((168, 175, 182), 0.10)
GREY, GREEN = fabric((120, 128, 140), (90, 98, 112)), fabric((84, 128, 116), (60, 96, 90))
MUSTARD, BRICK_RED = fabric((212, 164, 64), (180, 128, 44)), fabric((178, 84, 62), (146, 60, 46))
LEAVES = plaster((74, 124, 58), 0.35)


def all_boxes() -> list[Box]:
    """Return every box of the flat, in plan coordinates."""
    return [
        *building_shell(),
        *sofa(),
        *table(1.45, 1.75, 2.05, 2.75, 0.40, WALNUT),
        Box((1.60, 2.05, 0.40), (1.80, 2.35, 0.45), books),
        *shelf(1.00, 2.60, 4.65, 1.90),
        *cabinet(),
        *plant(0.10, 4.50),
        *crates(),
        *kitchen(),
        *table(5.25, 1.25, 6.15, 2.25, 0.75, OAK),
        Box((5.55, 1.60, 0.75), (5.80, 1.85, 0.85), MUSTARD),
        *chair(5.30, 0.85, -1),
        *chair(5.75, 0.85, -1),
        *chair(5.50, 2.20, 1),
        *pictures(),
    ]


def building_shell() -> list[Box]:
    """Return floors, ceiling, walls and the partition with its doorway (y 1.95 to 2.95)."""
    paper = wallpaper((226, 208, 176), (204, 180, 142))
    blue, rose = plaster((142, 172, 192), 0.13), plaster((216, 190, 168), 0.12)
    return [
        Box((-0.20, -0.20, -0.20), (3.95, 5.20, 0.00), planks((176, 128, 84))),
        Box((3.95, -0.20, -0.20), (7.20, 5.20, 0.00), tiles((226, 220, 206), (126, 138, 142))),
        Box((1.20, 1.10, -0.10), (3.10, 3.60, 0.002), carpet((150, 48, 44), (226, 188, 120))),
        Box((-0.20, -0.20, 2.50), (7.20, 5.20, 2.70), plaster((236, 232, 222), 0.09), 0.02),
        Box((-0.20, -0.20, -0.20), (0.00, 5.20, 2.70), blue),
        Box((7.00, -0.20, -0.20), (7.20, 5.20, 2.70), bricks((184, 108, 82))),
        Box((0.00, -0.20, -0.20), (3.90, 0.00, 2.70), paper),
        Box((3.90, -0.20, -0.20), (7.00, 0.00, 2.70), rose),
        Box((0.00, 5.00, -0.20), (3.90, 5.20, 2.70), paper),
        Box((3.90, 5.00, -0.20), (7.00, 5.20, 2.70), rose),
        Box((3.90, -0.20, -0.20), (4.00, 1.95, 2.70), rose),
        Box((3.90, 2.95, -0.20), (4.00, 5.20, 2.70), rose),
        Box((3.90, 1.95, 2.10), (4.00, 2.95, 2.70), rose),
        *(Box((3.85, y, 0.00), (4.05, y + 0.10, 2.10), PINE) for y in (1.85, 2.95)),
        Box((3.85, 1.85, 2.10), (4.05, 3.05, 2.20), PINE),
    ]


def table(
    west: float, south: float, east: float, north: float, height: float, texture: Texture,
) -> list[Box]:  # fmt: skip
    """Return a table: a top of 5 cm on four legs."""
    legs = [(x, y) for x in (west + 0.05, east - 0.10) for y in (south + 0.05, north - 0.10)]
    return [Box((west, south, height - 0.05), (east, north, height), texture, 0.005),
            *(Box((x, y, 0.0), (x + 0.05, y + 0.05, height - 0.05), texture) for x, y in legs)]


def chair(west: float, south: float, back: int) -> list[Box]:
    """Return a chair, 40 cm wide, with its back in the north (back = +1) or in the south (-1)."""
    east, north = west + 0.40, south + 0.40
    rest = north - 0.05 if back > 0 else south
    legs = [(x, y) for x in (west, east - 0.05) for y in (south, north - 0.05)]
    return [Box((west, south, 0.40), (east, north, 0.45), GREEN, 0.005),
            Box((west, rest, 0.45), (east, rest + 0.05, 0.90), PINE, 0.005),
            *(Box((x, y, 0.0), (x + 0.05, y + 0.05, 0.40), PINE) for x, y in legs)]


def sofa() -> list[Box]:
    """Return the sofa at the west wall, with cushions."""
    return [
        Box((0.05, 1.25, 0.00), (0.95, 3.25, 0.40), GREY),
        Box((0.05, 1.25, 0.40), (0.30, 3.25, 0.80), GREY),
        Box((0.05, 1.10, 0.00), (0.95, 1.25, 0.60), GREY),
        Box((0.05, 3.25, 0.00), (0.95, 3.40, 0.60), GREY),
        Box((0.30, 1.35, 0.40), (0.50, 1.75, 0.75), MUSTARD, 0.005),
        Box((0.30, 2.75, 0.40), (0.50, 3.15, 0.75), BRICK_RED, 0.005),
    ]


def shelf(west: float, east: float, south: float, height: float) -> list[Box]:
    """Return a bookcase at the north wall: sides, back, boards and rows of books."""
    boards = np.arange(0.0, height, 0.45)
    rows = [(0.05, 1.1), (0.25, 0.0), (0.05, 0.55), (0.60, 0.0)]  # gaps beside the books [m]
    return [
        Box((west, south, 0.0), (west + 0.05, 5.0, height), OAK),
        Box((east - 0.05, south, 0.0), (east, 5.0, height), OAK),
        Box((west, 4.95, 0.0), (east, 5.0, height), OAK),
        *(Box((west, south, z), (east, 5.0, z + 0.05), OAK, 0.005) for z in boards),
        *(Box((west + 0.05 + left, south + 0.05, z + 0.05),
              (east - 0.05 - right, 4.95, z + 0.05 + 0.30), books, 0.005)
          for z, (left, right) in zip(boards, rows)),
    ]


def cabinet() -> list[Box]:
    """Return the low cabinet at the partition, with a lamp and a picture on it."""
    sunset = painting((60, 60, 100), (240, 150, 70), (220, 90, 60), (250, 210, 120))
    return [
        Box((3.50, 3.30, 0.05), (3.90, 4.80, 0.55), WALNUT, 0.005),
        Box((3.55, 3.35, 0.00), (3.85, 4.75, 0.05), STEEL),
        Box((3.80, 3.60, 0.55), (3.85, 4.20, 1.00), sunset, 0.005),
        Box((3.65, 4.50, 0.55), (3.70, 4.55, 0.85), STEEL),
        Box((3.55, 4.40, 0.85), (3.80, 4.65, 1.10), MUSTARD, 0.005),
    ]


def plant(west: float, south: float) -> list[Box]:
    """Return a pot with a plant."""
    x, y = west, south
    return [Box((x, y, 0.00), (x + 0.35, y + 0.35, 0.35), plaster((176, 96, 66), 0.15), 0.005),
            Box((x + 0.15, y + 0.15, 0.35), (x + 0.20, y + 0.20, 0.80), WALNUT),
            Box((x + 0.05, y, 0.70), (x + 0.35, y + 0.35, 1.05), LEAVES, 0.005),
            Box((x, y + 0.05, 0.95), (x + 0.25, y + 0.30, 1.30), LEAVES, 0.005),
            Box((x + 0.10, y + 0.10, 1.20), (x + 0.35, y + 0.35, 1.50), LEAVES, 0.005)]


def crates() -> list[Box]:
    """Return crates in the southern corners of the living room."""
    return [Box((3.25, 0.05, 0.00), (3.85, 0.55, 0.45), PINE, 0.005),
            Box((3.35, 0.10, 0.45), (3.75, 0.45, 0.80), plaster((196, 160, 112), 0.16), 0.005),
            Box((0.10, 0.10, 0.00), (0.60, 0.50, 0.35), BRICK_RED, 0.005)]


def kitchen() -> list[Box]:
    """Return counter, wall cupboards and fridge at the north wall of the kitchen."""
    doors = [Box((x, 4.40, 0.10), (x + 0.50, 5.00, 0.85), GREEN if i % 2 else PINE, 0.005)
             for i, x in enumerate((5.00, 5.50, 6.00, 6.50))]
    return [
        *doors,
        Box((5.00, 4.45, 0.00), (7.00, 5.00, 0.10), STEEL),
        Box((4.95, 4.35, 0.85), (7.00, 5.00, 0.90), WALNUT, 0.005),
        Box((5.20, 4.60, 0.90), (5.45, 4.85, 1.15), BRICK_RED, 0.005),
        Box((6.20, 4.65, 0.90), (6.60, 4.90, 1.00), STEEL, 0.005),
        Box((5.00, 4.65, 1.50), (7.00, 5.00, 2.10), OAK, 0.005),
        Box((4.15, 4.35, 0.00), (4.80, 5.00, 1.80), STEEL, 0.005),
    ]


def pictures() -> list[Box]:
    """Return the pictures and windows on the walls, 3 cm thick."""
    sea = painting((58, 110, 150), (230, 225, 205), (30, 60, 100), (220, 160, 90), (120, 180, 190))
    field = painting((228, 210, 160), (120, 150, 70), (190, 90, 50), (70, 90, 60), (240, 190, 60))
    night = painting((40, 44, 70), (230, 200, 110), (110, 80, 140), (200, 90, 90), (70, 130, 170))
    return [
        Box((0.00, 1.50, 1.20), (0.03, 3.00, 2.10), window, 0.005),
        Box((0.80, 0.00, 1.10), (1.90, 0.03, 1.90), sea, 0.005),
        Box((2.30, 0.00, 1.20), (3.00, 0.03, 2.00), night, 0.005),
        Box((2.80, 4.97, 1.20), (3.60, 5.00, 2.00), field, 0.005),
        Box((3.87, 0.60, 1.10), (3.90, 1.50, 1.80), night, 0.005),
        Box((4.00, 0.40, 1.10), (4.03, 1.50, 1.90), field, 0.005),
        Box((4.50, 0.00, 1.00), (6.00, 0.03, 2.10), window, 0.005),
        Box((6.97, 0.80, 1.10), (7.00, 1.90, 1.90), sea, 0.005),
        Box((6.97, 2.60, 1.20), (7.00, 3.60, 2.00), night, 0.005),
    ]
