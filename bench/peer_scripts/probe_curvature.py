"""Run a user's script of a peer for curvature, and write its values, products and seconds.

    PEERS_PROBLEM=FILE python bench/peer_scripts/probe_curvature.py pyhessian

A product is that of the Hessian on all images with one vector. Seconds are the processor's, without imports.
"""

import importlib
import json
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent


class Work:
    """Counts the products, and notes products and seconds at the start of the trace."""

    def __init__(self) -> None:
        self.products, self.products_before_trace = 0, 0
        self.start = self.trace_start = time.process_time()

    def count(self, owner: Any, name: str, vectors: Callable[[Any], int]) -> None:
        product = getattr(owner, name)

        def counted(matrix: Any, given: Any) -> Any:
            self.products += vectors(given)
            return product(matrix, given)

        setattr(owner, name, counted)

    def mark(self, owner: Any, name: str) -> None:
        trace = getattr(owner, name)

        def marked(*args: Any, **options: Any) -> Any:
            self.products_before_trace, self.trace_start = self.products, time.process_time()
            return trace(*args, **options)

        setattr(owner, name, marked)

    def results(self) -> dict[str, float]:
        return {
            "products of the eigenvalue": self.products_before_trace,
            "products of the trace": self.products - self.products_before_trace,
            "seconds of the eigenvalue": self.trace_start - self.start,
            "seconds of the trace": time.process_time() - self.trace_start,
        }


def ours(work: Work) -> None:
    matrix = importlib.import_module("losslandscape.curvature.hess_vec_prod").Curvature
    work.count(matrix, "__call__", lambda vectors: 1 if vectors.dim() == 1 else len(vectors))
    work.mark(importlib.import_module("losslandscape.cli.hessian"), "trace")


def pyhessian(work: Work) -> None:
    hessian = importlib.import_module("pyhessian").hessian
    work.count(hessian, "dataloader_hv_product", lambda vector: 1)
    work.mark(hessian, "trace")


def hessian_eigenthings(work: Work) -> None:
    package = importlib.import_module("hessian_eigenthings")
    work.count(package.HessianOperator, "matvec", lambda vector: 1)
    work.mark(package, "trace")


def curvlinops(work: Work) -> None:
    package = importlib.import_module("curvlinops")
    importlib.import_module("scipy.sparse.linalg")
    work.count(package.HessianLinearOperator, "_matmat", lambda tensors: tensors[0].shape[-1])
    work.mark(package, "hutchpp_trace")


PEERS = {peer.__name__: peer for peer in (ours, pyhessian, hessian_eigenthings, curvlinops)}


def values(names: dict[str, Any]) -> dict[str, float]:
    """Return the values of a user's script, or those of our file."""
    if "eigenvalue" in names:
        return {name: float(names[name]) for name in ("eigenvalue", "trace")}
    ours = json.loads(Path("curvature.json").read_text())
    return {"eigenvalue": ours["eigenvalues"]["largest"][0]["value"], "trace": ours["trace"]["value"]}


def main(script: str) -> None:
    work = Work()
    PEERS[script.removesuffix("_whole").removesuffix("_precise").removesuffix("_curvature")](work)
    from problem import net

    torch.manual_seed(0)
    for tensor in net.parameters():
        tensor.requires_grad_(tensor.dim() > 1)  # the paper's Hessian has the weights of layers alone
    work.start = work.trace_start = time.process_time()
    names = runpy.run_path(str(HERE / f"use_{script.removesuffix('_whole')}.py"))
    torch.save(values(names) | work.results(), "out.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
