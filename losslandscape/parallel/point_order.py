"""Defines the order in which the points of a grid are measured."""

from collections.abc import Iterable

ORDERS = ("coarse", "row")
COARSEST_STRIDE = 16


def ordered(points: Iterable[int], shape: tuple[int, ...], order: str) -> list[int]:
    """Return points in the order in which they are measured.

    Args:
        points: flat C-order indices in the grid. `row` keeps their order.
        shape: the shape of the grid.
        order: `row` is row by row, for ascending points. `coarse` begins with every 16th row and column, then
            takes every 8th, and so on, so that a plot soon shows the whole surface. Each of these lattices
            includes the last row and column.
    """
    if order == "row":
        return [int(point) for point in points]
    if order != "coarse":
        raise ValueError(f"unknown order {order!r}; choose from {', '.join(ORDERS)}")

    def coarse_first(point: int) -> tuple[int, int]:
        return -_stride(point, shape), point

    return sorted(map(int, points), key=coarse_first)


def _stride(point: int, shape: tuple[int, ...]) -> int:
    """Return the stride of the coarsest lattice that contains the point."""
    strides = [COARSEST_STRIDE]
    for size in reversed(shape):
        point, index = divmod(point, size)
        largest_power_of_2 = index & -index
        on_edge = index in (0, size - 1)
        strides.append(COARSEST_STRIDE if on_edge else largest_power_of_2)
    return min(strides)
