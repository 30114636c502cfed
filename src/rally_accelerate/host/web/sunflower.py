"""Where the dots of a stage stand in its circle: from the middle outwards, evenly, as the seeds of a sunflower."""

import math

#: The turn from one seed to the next, which fills a circle most evenly.
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))

#: The circle, in the units of the drawing.
SIZE = 160
EDGE = 70.0

LARGEST, SMALLEST = 8.0, 3.4


def places(count: int) -> tuple[list[tuple[float, float]], float]:
    """The middle of each of so many dots, and their radius."""
    if count == 0:
        return [], LARGEST
    # A seed has a share of the circle; a few of them need not spread over all of it.
    step = min(LARGEST * 1.45, EDGE / math.sqrt(count))
    radius = max(SMALLEST, min(LARGEST, step * 0.72))
    middle = SIZE / 2
    found = []
    for number in range(count):
        distance = step * math.sqrt(number + (0.5 if count > 1 else 0))
        angle = number * GOLDEN_ANGLE
        x, y = middle + distance * math.cos(angle), middle + distance * math.sin(angle)
        found.append((round(x, 1), round(y, 1)))
    return found, round(radius, 1)
