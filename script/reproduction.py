"""Write docs/reproduction.md and its pictures from the kept surfaces in docs/surfaces.

    python script/reproduction.py                        # the page
    python script/reproduction.py --figures              # the page and all pictures, a few minutes
    python script/reproduction.py --figures planes depth # the page and some pictures
    python script/reproduction.py --keep figures         # copy the surfaces that experiments.py measured
    python script/reproduction.py --nets nets            # measure norms and histograms of the nets' weights

The text is in script/reproduction.md.jinja. Each number in it comes from a surface, or from
docs/surfaces/nets.json.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

# The package of this checkout, wherever the script is started.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from losslandscape.draw import surface_metrics
from losslandscape.draw.convexity import CURVED_DOWN, convexity
from losslandscape.draw.metrics_table import cell
from losslandscape.draw.surface_metrics import Metrics, Spread
from losslandscape.files import h5_util
from losslandscape.files.projection import Projection
from losslandscape.files.surface import Surface
from script.commands import REPO
from script.gallery import save_small, wrapped
from script.paper_studies import DECAYS, LAST_EPOCHS, NETS, STUDIES, Figure

PAGE = REPO / "docs" / "reproduction.md"
TEMPLATE = "reproduction.md.jinja"
SURFACES = REPO / "docs" / "surfaces"
IMAGES = REPO / "docs" / "images"
NETS_FILE = SURFACES / "nets.json"
WEIGHTS = "vgg9_weights"  # the picture of histograms
MAX_BYTES = 600_000  # of a picture
BINS = np.linspace(-0.2, 0.2, 81)  # of the histograms of weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--figures", nargs="*", metavar="NAME", help="draw these pictures, or all")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy surfaces from here to docs/surfaces")
    parser.add_argument("--nets", type=Path, metavar="DIR", help="folder of the nets, as in paper_studies.py")
    args = parser.parse_args()
    if args.keep:
        keep(args.keep)
    if args.nets:
        nets = {name: weights_of(args.nets / file) for name, (_, file) in NETS.items()}
        NETS_FILE.write_text(json.dumps(nets) + "\n")
    figures = {figure.name: figure for study in STUDIES.values() for figure in study.figures}
    if unknown := set(args.figures or ()) - {*figures, WEIGHTS}:
        parser.error(f"there is no picture {', '.join(sorted(unknown))}; choose from {', '.join(figures)}")
    if args.figures is not None:
        for name in args.figures or [*figures, WEIGHTS]:
            draw_weights() if name == WEIGHTS else draw(figures[name])
    PAGE.write_text(page())
    print(f"saved {PAGE}")


def keep(folder: Path) -> None:
    """Copy the studies' complete surfaces to docs/surfaces, without names of the machine and its folders."""
    for study in STUDIES.values():
        for measured in study.measured:
            source = folder / f"{measured.name}.h5"
            if not source.exists():
                continue
            surface = h5_util.read_surface(str(source))
            if all(surface.measured(name).all() for name in surface.names):
                surface.path = str(SURFACES / source.name)
                surface.runs = [anonymous(run) for run in surface.runs]
                h5_util.write_surface(surface)
                if measured.path:
                    shutil.copy(measured.projection(str(folder)), SURFACES)
                print(f"saved {source.name}")


def anonymous(run: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a run without the machine's name, and with names of nets relative to its folder."""
    start = f"{run['folder']}/"
    files = {flag: name.removeprefix(start) for flag, name in run["files"].items()}
    return {**run, "files": files, "host": "localhost", "folder": "."}


def weights_of(checkpoint: Path) -> dict[str, Any]:
    """Return the recorded accuracy of a checkpoint, and norm and histogram (shares) of its weights.

    Weights are the tensors of more than one dimension.
    """
    import torch

    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    state = content["state_dict"]
    weights = torch.cat([tensor.flatten() for tensor in state.values() if tensor.dim() > 1]).numpy()
    return {
        "recorded accuracy": content["acc"],
        "norm": float(np.linalg.norm(weights.astype(float))),
        "histogram": (np.histogram(weights, BINS)[0] / len(weights)).round(6).tolist(),
    }


def draw(figure: Figure) -> None:
    """Draw a figure from the kept surfaces, and keep a small copy of its picture."""
    with tempfile.TemporaryDirectory() as out:
        script, *flags = figure.command(str(SURFACES), out)
        subprocess.run([sys.executable, str(REPO / script), *flags], check=True, stdout=subprocess.DEVNULL)
        picture = Path(out) / f"{figure.name}{figure.ending}"
        save_small(picture, IMAGES / f"{figure.name}.png", max_width=1600, max_bytes=MAX_BYTES)


def draw_weights() -> None:
    import matplotlib.pyplot as plt

    nets = json.loads(NETS_FILE.read_text())
    figure, axes = plt.subplots(2, 2, figsize=(8, 4.5), sharex=True, sharey=True, layout="constrained")
    for panel, (batch, decay) in zip(axes.flat, small_and_large(), strict=True):
        panel.stairs(nets[f"vgg9_bs={batch}_wd={decay}"]["histogram"], BINS, fill=True)
        panel.set(title=f"batch {int(batch):,}, decay {decay}", yscale="log")
    for panel in axes[-1]:
        panel.set_xlabel("weight")
    for panel in axes[:, 0]:
        panel.set_ylabel("share of the weights")
    figure.savefig(IMAGES / f"{WEIGHTS}.png", dpi=120)
    plt.close(figure)


def small_and_large() -> list[tuple[str, str]]:
    return [(batch, decay) for decay in DECAYS for batch in LAST_EPOCHS]


def page() -> str:
    """Return the text of the page."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    tools = {
        "nets": json.loads(NETS_FILE.read_text()),
        "number": number,
        "text": text,
        "table": table,
        "spread": spread,
        "spread_table": spread_table,
        "counts": counts,
        "loss_at": loss_at,
        "ratio": ratio,
        "call": call,
        "eigenvalue": eigenvalue,
        "path_of": path_of,
        "min": min,
        "max": max,
    }
    return environment.get_template(TEMPLATE).render(tools)


@cache
def read(name: str) -> Surface:
    return h5_util.read_surface(str(SURFACES / f"{name}.h5"))


@cache
def measure(name: str, quantity: str = "train_loss") -> Metrics:
    return surface_metrics.measure(read(name), quantity)


def numbers(name: str, quantity: str = "train_loss") -> dict[str, float]:
    """Return the numbers of docs/metrics.md for a surface."""
    surface = read(name)
    if quantity in surface.names:
        return dict(surface_metrics.numbers(measure(name, quantity)))
    shape = convexity(surface)
    if shape is None:
        return {}
    return {
        "|ratio| at the centre": float("nan") if shape.centre is None else shape.centre,
        "|ratio| in the median": shape.median,
        f"points of ratio below -{CURVED_DOWN:g}": shape.curved_down,
    }


def number(name: str, row: str, quantity: str = "train_loss") -> float:
    return numbers(name, quantity)[row]


def text(name: str, row: str, quantity: str = "train_loss") -> str:
    """Return a number as text, empty if it is not known; with its standard error where the file has one."""
    known = numbers(name, quantity)
    if row not in known:
        return ""
    error = error_of(name, row) if quantity == "train_loss" else None
    return cell(row, known[row]) + ("" if error is None else f" ± {error:.2g}")


def error_of(name: str, row: str) -> float | None:
    metrics = measure(name)
    centre = metrics.centre.se if metrics.centre else None
    return {"at the centre": centre, "barrier": metrics.barrier_se}.get(row)


def table(columns: Mapping[str, str], rows: Iterable[str], first: str = "train loss") -> str:
    """Return a Markdown table: a column per surface, given as title and name, and a row per number."""
    lines = [[first, *columns]]
    lines += [[row, *(text(name, row) for name in columns.values())] for row in rows]
    return markdown(lines)


def markdown(lines: list[list[str]]) -> str:
    head, *others = [f"| {' | '.join(one.replace('|', '&#124;') for one in line)} |" for line in lines]
    return "\n".join([head, "|---|" + "---:|" * (len(lines[0]) - 1), *others])


def spread(names: Iterable[str], row: str) -> Spread:
    """Return the spread of a number over surfaces."""
    return surface_metrics.summarise([read(name) for name in names], "train_loss")[row]


def spread_table(groups: Mapping[str, list[str]], rows: Iterable[str], first: str) -> str:
    """Return a Markdown table: a column per group of surfaces, with mean ± deviation and the range."""
    lines = [[first, *groups]]
    for row in rows:
        spreads = [asdict(spread(names, row)) for names in groups.values()]
        words = [{key: cell(row, value) for key, value in one.items() if key != "known"} for one in spreads]
        lines.append([row, *("{mean} ± {std} ({least} to {greatest})".format(**one) for one in words)])
    return markdown(lines)


def counts(name: str, height: float) -> int | None:
    """Return the number of minima deeper than a height."""
    return surface_metrics.deeper(measure(name).depths, height)


def loss_at(name: str, x: float) -> float:
    """Return the loss at the point of a line that is nearest to x."""
    surface = read(name)
    return float(surface.get("train_loss")[np.argmin(np.abs(surface.x - x))])


def eigenvalue(name: str, which: str) -> float:
    """Return an eigenvalue at the centre."""
    centre = measure(name, which).centre
    if centre is None:
        raise ValueError(f"{name} has no {which} at its centre")
    return centre.value


def path_of(name: str) -> Projection:
    """Return the path of a training on a surface."""
    [measured] = (one for study in STUDIES.values() for one in study.measured if one.name == name)
    return h5_util.read_projection(measured.projection(str(SURFACES)))


def ratio(one: float, other: float) -> str:
    return f"{one / other:.2g}"


def call(study: str, name: str) -> str:
    """Return the command that measures a surface, as an indented block."""
    measured = next(one for one in STUDIES[study].measured if one.name == name)
    words = ["python", *measured.command("nets", ".", "figures")]
    return wrapped(" ".join(words)).rstrip()


if __name__ == "__main__":
    main()
