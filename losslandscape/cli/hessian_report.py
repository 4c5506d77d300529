"""Prints the estimates of hessian.py, each with its residual or its standard error."""

import math

from losslandscape.curvature.along import Along
from losslandscape.curvature.density import Density
from losslandscape.curvature.hess_vec_prod import Curvature
from losslandscape.curvature.lanczos import Eigen
from losslandscape.curvature.layers import Ends
from losslandscape.curvature.trace import Trace

NOISE = "Every product with the matrix has other random numbers, so the estimates are noise: see the warning."


def print_eigenvalues(
    smallest: list[Eigen], largest: list[Eigen], tolerance: float, *, is_noisy: bool = False
) -> None:
    """Print each eigenvalue with its residual, then a sentence on their errors or the ratio of both ends."""
    for name, eigens in (("largest", largest), ("smallest", smallest)):
        for i, eigen in enumerate(eigens, 1):
            label = f"{name} eigenvalue" + (f" {i}" if len(eigens) > 1 else "")
            value = f"{eigen.value:>12.6g}   residual {eigen.residual:.2g}"
            print(f"{label:<23} {value}{mark(eigen.converged)}")
    if not all(math.isfinite(eigen.value) for eigen in smallest + largest):
        print("The second derivative is not finite here: the loss may have overflowed.")
    elif is_noisy:
        print(NOISE)
    elif not all(eigen.converged for eigen in smallest + largest):
        print(
            f"Residuals are above --tolerance {tolerance:g}, or equal eigenvalues may be missing; "
            "give more --most_products."
        )
    else:
        low, high = smallest[0].value, largest[0].value
        print(f"|smallest / largest|    {abs(low / high) if high else math.nan:>12.6g}")


def print_trace(estimate: Trace, tolerance: float, *, is_noisy: bool = False) -> None:
    """Print the trace with its standard error, and advice if that is above the tolerance."""
    error = f"standard error {estimate.standard_error:.2g} from {estimate.probes} random vectors"
    print(f"trace                   {estimate.value:>12.6g}   {error}{mark(estimate.converged)}")
    if is_noisy:
        print(NOISE)
    elif math.isfinite(estimate.value) and not estimate.converged:
        print(
            f"The standard error is above --trace_tolerance {tolerance:g}; "
            "give more --probes, or another --rank of Hutch++."
        )


def print_layers(
    matrix: Curvature,
    ends: dict[str, Ends],
    traces: dict[str, tuple[float, float]],
    tolerance: float,
    *,
    is_noisy: bool = False,
) -> None:
    """Print a line for each parameter tensor, with the numbers of its diagonal block.

    Args:
        ends: the smallest and the largest eigenvalue of each block, by name; empty for none.
        traces: the trace of each block and its standard error, by name; empty for none.
        tolerance: largest residual of an eigenvalue, relative to it.
        is_noisy: whether each product has other random numbers.
    """
    width = max(map(len, matrix.names))
    titles = [
        *(["largest eigenvalue", "smallest eigenvalue"] if ends else []),
        *(["trace"] if traces else []),
    ]
    print(f"  {'':<{width}} {'parameters':>10}" + "".join(f"   {title:>22}" for title in titles))
    for name, size in zip(matrix.names, matrix.sizes, strict=True):
        low_and_high = ends.get(name, ())
        numbers = [(eigen.value, eigen.residual) for eigen in reversed(low_and_high)]
        if name in traces:
            numbers.append(traces[name])
        cells = "".join(f"   {value:>12.6g} +- {error:<6.2g}" for value, error in numbers)
        print(f"  {name:<{width}} {size:>10}{cells}".rstrip() + mark(all(e.converged for e in low_and_high)))
    if is_noisy:
        print(NOISE)
    elif not all(eigen.converged for pair in ends.values() for eigen in pair):
        print(f"Residuals are above --tolerance {tolerance:g}; give more --most_products.")


def print_along(along: dict[str, Along], *, mean_eigenvalue: float | None) -> None:
    """Print a line for each direction, with the slope and the curvature of the loss along it.

    Args:
        mean_eigenvalue: trace / n, the curvature along a random direction in the mean; None if not known.
    """
    width = max(map(len, ("trace / n", *along)))
    print("along directions of length 1, by differences of the loss in float64:")
    print(f"  {'':<{width}}   {'slope':>22}   {'second difference':>22}   {'v . H v':>12}   {'step':>8}")
    for name, line in along.items():
        cells = [(line.slope, line.slope_error), (line.curvature, line.curvature_error)]
        texts = "".join(f"   {value:>12.6g} {_plus_minus(error):<9}" for value, error in cells)
        print(f"  {name:<{width}}{texts}   {line.product:>12.6g}   {line.step:>8.2g}")
    if mean_eigenvalue is not None:
        print(f"  {'trace / n':<{width}}{'':50}   {mean_eigenvalue:>12.6g}")


def _plus_minus(error: float | None) -> str:
    return "" if error is None else f"+- {error:.2g}"


def print_density(density: Density) -> None:
    """Print the range of the density and its errors."""
    print(
        f"density: eigenvalues from {density.nodes.min():.6g} to {density.nodes.max():.6g}; "
        f"integrated sampling error {density.sampling_error:.2g}, step error {density.step_error:.2g}"
        f"{mark(density.converged)}"
    )


def mark(converged: bool) -> str:
    """Return the end of the line of an estimate, which says if it has not converged."""
    return "" if converged else "  NOT CONVERGED"
