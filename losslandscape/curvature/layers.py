"""The extreme eigenvalues of each diagonal block of a curvature matrix: one block per parameter tensor."""

from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.curvature.lanczos import MOST_PRODUCTS, TOLERANCE, Eigen, eigenvalues

Ends = tuple[Eigen, Eigen]  # the smallest and the largest eigenvalue


def layer_eigenvalues(
    matrix: Curvature,
    *,
    tolerance: float = TOLERANCE,
    most_products: int = MOST_PRODUCTS,
    seed: int = 0,
    show_progress: bool = False,
) -> dict[str, Ends]:
    """Return the extreme eigenvalues of the diagonal block of each parameter tensor, by its name.

    No block has an eigenvalue beyond those of the whole matrix. A block has its own search (`eigenvalues`),
    whose products are computed for its parameters alone.

    Args:
        tolerance, seed: as in `eigenvalues`.
        most_products: the largest number of products for each block.
        show_progress: whether to show a bar for each block.
    """
    ends = {}
    for name, block in matrix.blocks():
        (low,), (high,) = eigenvalues(
            block,
            tolerance=tolerance,
            most_products=most_products,
            seed=seed,
            show_progress=show_progress,
        )
        ends[name] = low, high
    return ends
