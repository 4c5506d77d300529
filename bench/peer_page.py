"""The tables of docs/compared.md from bench/results/peers.json.

Each stands between the lines `<!-- table NAME -->` and `<!-- end -->`, and only that is replaced.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from bench import report

PAGE = report.REPO / "docs" / "compared.md"
POINTS = 25

Row = Mapping[str, Any]
Results = Mapping[str, Any]

# The name, and what is known from a package's files: several ranks, a GPU, figures, licence.
FACTS = {
    "ours": ("ours", "yes", "yes", "PDF, PNG, SVG, EPS, PGF; HTML; VTP and lit PNG; films", "MIT"),
    "published": ("published program", "yes", "yes", "PDF; VTP", "MIT's text"),
    "gradfield": ("gradfield", "no", "yes", "HTML", "MIT"),
    "landscaper": ("landscaper", "no", "yes", "matplotlib; merge trees, barcodes", "BSD-3-LBNL"),
    "landscaper_eigenvectors": ("the same, along eigenvectors", "", "", "", ""),
    "loss_landscape_3d": ("loss-landscape-3d", "no", "yes", "HTML; matplotlib", "MIT"),
    "loss_landscape_3d_copied": ("the same, the centre copied", "", "", "", ""),
    "loss_landscapes": ("loss-landscapes", "no", "not said", "none", "MIT"),
    "losscape": ("losscape", "no", "yes", "PNG; VTP", "none stated"),
    "pylandscape": ("pylandscape", "no", "yes", "none", "MIT"),
}
CURVATURE = {
    "ours_precise": "ours, to a smaller error",
    "ours_curvature": "ours",
    "pyhessian": "pyhessian",
    "hessian_eigenthings": "hessian-eigenthings",
    "hessian_eigenthings_whole": "the same, one batch of all images",
    "curvlinops": "curvlinops-for-pytorch",
}


def write(results: Results) -> None:
    """Replace the tables of the page."""
    PAGE.write_text(page(PAGE.read_text(), results))
    print(f"written: {PAGE}")


def page(text: str, results: Results) -> str:
    """Return the page's text with the tables of these results."""
    for name, make in TABLES.items():
        mark = f"<!-- table {name} -->\n"
        if mark not in text:
            raise ValueError(f"{PAGE.name} has no line {mark.strip()!r}")
        text = re.sub(
            f"{mark}.*?<!-- end -->", f"{mark}\n{make(results)}\n\n<!-- end -->", text, flags=re.DOTALL
        )
    return text


def versions(results: Results) -> str:
    rows = []
    for name, packages in results["requirements"].items():
        title = FACTS[name][0] if name in FACTS else CURVATURE[name]
        pinned = [package for package in packages if "==" in package]
        if pinned:
            rows.append({"program": title, "installed": f"`{pinned[0]}`"})
    return report.table(rows)


def planes(results: Results) -> str:
    return report.table([plane_row(name, row, results["times"].get(name)) for name, row in named(results)])


def named(results: Results) -> list[tuple[str, Row]]:
    return [(name, results["planes"][name]) for name in FACTS if name in results["planes"]]


def plane_row(name: str, row: Row, times: Row | None) -> Row:
    measured = row["evaluation"]
    return {
        "program": FACTS[name][0],
        "off by": off_by(measured),
        "cosine of the axes": f"{measured['cosine of the axes']:.5f}",
        "filters": filters(measured),
        "biases, BN move": yes(measured["biases and batch norms move"]),
        "s a point": f"{times['seconds a point']:.2f}" if times else "",
        "lines": str(row["lines"]),
    }


def off_by(measured: Row) -> str:
    """Return the largest relative difference from the plain loop."""
    value = measured["largest relative difference"]
    if math.isinf(value):
        return "NaN in other places"
    text = f"{value:.0e}" if value < 0.001 else f"{value:.2g}"
    return f"{text}, {measured['NaN of 25']} NaN" if measured["NaN of 25"] else text


def filters(measured: Row) -> str:
    """Return the range of the axes' filters' norms by those of the net."""
    least = min(axis["least"] for axis in measured["filters"])
    greatest = max(axis["greatest"] for axis in measured["filters"])
    return f"{least:.2g}" if greatest / least < 1.001 else f"{least:.2g} to {greatest:.2g}"


def yes(fact: bool) -> str:
    return "yes" if fact else "no"


def handling(results: Results) -> str:
    rows = []
    for name, row in named(results):
        if name not in results["resume"]:
            continue
        title, ranks, gpu, figures, licence = FACTS[name]
        rows.append(
            {
                "program": title,
                "off by, net in training mode": training(row.get("training")),
                "net afterwards": afterwards(row),
                "points kept when killed": kept(results["resume"][name]["killed"]),
                "when interrupted": kept(results["resume"][name]["interrupted"]),
                "MPI": ranks,
                "GPU": gpu,
                "figures": figures,
                "licence": licence,
            }
        )
    return report.table(rows)


def training(measured: Row | None) -> str:
    """Return by how much the five points are off when the net is handed over in training mode."""
    if measured is None:
        return "reads a file"
    return off_by(measured)


def afterwards(row: Row) -> str:
    """Return what of the net is not as it was."""
    kinds = [row[kind] for kind in ("evaluation", "training") if kind in row]
    parts = {
        "weights changed": any(kind["weights changed"] for kind in kinds),
        "BN statistics changed": any(kind["statistics changed"] for kind in kinds),
        "mode changed": not all(kind["mode kept"] for kind in kinds),
    }
    return ", ".join(part for part, is_so in parts.items() if is_so) or "as it was"


def kept(stopped: Row) -> str:
    """Return how many of the points before the stop were not measured again."""
    if "failed" in stopped:
        return "stops with an error"
    if "points measured then" not in stopped:
        return "0"
    return str(POINTS - stopped["points measured then"])


def curvature(results: Results) -> str:
    rows = []
    for name, title in CURVATURE.items():
        row = results["curvature"].get(name)
        if row is None or "failed" in row:
            continue
        rows.append(
            {
                "program": title,
                "largest eigenvalue": f"{row['eigenvalue']:.3f}",
                "products": str(row["products of the eigenvalue"]),
                "s": f"{row['seconds of the eigenvalue']:.0f}",
                "trace": f"{row['trace']:.1f}",
                "products of it": str(row["products of the trace"]),
                "its s": f"{row['seconds of the trace']:.0f}",
            }
        )
    return report.table(rows)


TABLES = {"versions": versions, "planes": planes, "handling": handling, "curvature": curvature}
