"""Train a curve of low loss between two nets, and measure the loss along it and along the straight line.

    python connect.py --dataset digits --model resnet20 --model_file A.t7 --model_file2 B.t7 --out A_B --plot
    python connect.py --cuda --model vgg9 --model_file A.t7 --model_file2 B.t7 --curve chain --bends 3 --out C

It writes the bend as a checkpoint, PREFIX.t7 (several as PREFIX_1.t7 and so on), the loss along the curve as
PREFIX.h5 and along the line as PREFIX_line.h5. PREFIX_training.t7 lets the same command resume a training
that was stopped, and more --epochs continue it. Rank 0 trains, and all ranks measure.
"""

import math
import sys

import torch

from losslandscape.cli.command_line import sentence
from losslandscape.cli.connect_request import ConnectOptions, ConnectRequest, build_parser
from losslandscape.cli.figure_options import page_of
from losslandscape.cli.landscapes import facts_of_loss, facts_of_net, recorded_run
from losslandscape.cli.request import Machine
from losslandscape.core.provenance import fingerprint_of_file
from losslandscape.draw.figure_metadata import drawn_by
from losslandscape.draw.loss_shape import barrier, barrier_error
from losslandscape.draw.page_style import drawn_on
from losslandscape.evaluate import losses
from losslandscape.evaluate.bn_statistics import norms_of
from losslandscape.files.file_names import SEED
from losslandscape.files.surface import Surface
from losslandscape.measure.landscape import Landscape
from losslandscape.nets.net_plotter import Recipe
from losslandscape.trajectory.connection import MOVES, Connecting, Connection
from losslandscape.trajectory.curve_files import CurveFiles


def main(argv: list[str] | None = None) -> None:
    parser = build_parser(__doc__)
    args = parser.parse_args(argv)
    request = ConnectRequest.of(args)
    arguments = sys.argv[1:] if argv is None else argv
    with sentence(parser), drawn_on(page_of(args)), drawn_by("connect.py", arguments):
        request.require_possible()
        machine = request.hardware.connect()
        connecting = prepare(request, machine, arguments)
        connection = connecting.connect(request.connect.points)
        if machine.ranks.rank == 0:
            print_files(connecting.files)
            print_barriers(connection)
            if request.connect.plot:
                plot(request.connect, connecting.files)


def prepare(request: ConnectRequest, machine: Machine, arguments: list[str]) -> Connecting:
    """Load nets, loss and data, and return the two nets with all settings."""
    ranks, options, files = machine.ranks, request.connect, request.net.files()
    plan = ranks.all(options.plan)
    torch.manual_seed(SEED)
    net = ranks.all(request.net.load, files["model_file"])
    other = ranks.all(request.net.load, files["model_file2"])
    facts = ranks.all(facts_of_net, request.net, net, files, dir_type=MOVES, seed=SEED, ranks=ranks)
    landscape = Landscape(
        net.to(machine.device),
        seed=SEED,
        random_state=torch.get_rng_state(),
        net_facts={**facts, "model_file2": fingerprint_of_file(files["model_file2"])},
        dir_type=MOVES,
        recipes={"x": Recipe(target=lambda: other)},
        loss=ranks.all(losses.find, options.loss_name),
        sets=request.data.load(ranks),
        settings=facts_of_loss(request.data, options.loss_name),
        files=files,
    )
    return Connecting(
        landscape,
        other,
        plan,
        ranks.all(options.measuring, has_norms=bool(norms_of(net))),
        recorded_run(
            "connect.py",
            arguments,
            machine,
            files,
            overwrite=options.overwrite,
            wait=options.wait,
            strict=options.strict,
        ),
        CurveFiles(options.out, options.bends),
        device=machine.device,
        sharers=machine.sharers,
    )


def print_files(files: CurveFiles) -> None:
    """Print the names of the bends, and of the files for a plane with the curve on it."""
    for path in files.checkpoints:
        print(f"bend:       {path}")
    if files.bends == 1:
        print(
            f"plane:      plot_surface.py --dir_type {MOVES} --dir_file {files.directions} "
            f"--proj_file {files.path} --plot, with net, data and --bn, draws the curve over contours"
        )


def print_barriers(connection: Connection) -> None:
    """Print how far each loss rises above the straight line between the losses of the two nets."""
    for name in connection.line.names:
        if not name.endswith("_loss"):
            continue
        line, curve = (barrier_of(surface, name) for surface in (connection.line, connection.curve))
        if line is None or curve is None:
            print(f"{name}: no barrier, as some value is not finite")
            continue
        share = f", {curve[0] / line[0]:.3g} of it" if 0 < line[0] < math.inf else ""
        print(f"{name}: barrier of the line {line[1]}, of the curve {curve[1]}{share}")


def barrier_of(surface: Surface, name: str) -> tuple[float, str] | None:
    """Return the barrier of a loss, and it as text with its standard error if that is measured."""
    height, error = barrier(surface.x, surface.get(name)), None
    if height is None:
        return None
    if f"{name}_diff_se" in surface.names:
        error = barrier_error(surface.x, surface.get(name), surface.get(f"{name}_diff_se"))
    return height, f"{height:.4g}" + ("" if error is None else f" ± {error:.2g}")


def plot(options: ConnectOptions, files: CurveFiles) -> None:
    """Draw the loss along curve and line in one figure."""
    from losslandscape.draw.figure_details import Details
    from losslandscape.draw.line_figures import plot_together

    plot_together(
        files.curve,
        files.line,
        titles=["curve", "straight line"],
        out=files.out,
        log=options.log,
        show=options.show,
        formats=options.format,
        details=Details(xlabel="$t$"),
    )
