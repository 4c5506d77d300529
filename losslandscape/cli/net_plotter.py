"""Make a direction file without measuring a surface, or report what a direction file holds.

    python net_plotter.py --model resnet20 --model_file FILE.t7 --xnorm filter --xignore biasbn
    python net_plotter.py --model resnet56 --model_file FILE.t7 --model_file2 OTHER.t7 --dir_type states
    python net_plotter.py --dir_file FILE.h5

plot_surface.py with the same options uses the same file name and the same directions. An option for y, or
--y, makes two directions. The data are read only for directions that the loss decides:
`--xdir hessian` and the like.
"""

import os
import sys
from dataclasses import replace

from losslandscape.cli import options
from losslandscape.cli.command_line import Parser, sentence
from losslandscape.cli.h5_util import report
from losslandscape.cli.landscapes import make_landscape
from losslandscape.cli.request import SurfaceRequest
from losslandscape.core.errors import InputError
from losslandscape.files.file_names import WHOLE_RANGE
from losslandscape.measure.loss_measure import Measuring
from losslandscape.measure.surface_files import write_directions
from losslandscape.nets.models import MODELS


def build_parser() -> Parser:
    parser = Parser(__doc__)
    options.add_hardware(parser)
    options.add_data(parser)
    options.add_subset(parser)
    options.add_model(parser)
    options.add_directions(parser)
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    arguments = sys.argv[1:] if argv is None else argv
    request = SurfaceRequest.of(args, program="net_plotter.py", arguments=arguments)
    with sentence(parser):
        dir_file = request.directions.dir_file
        if not os.path.exists(dir_file):
            dir_file = make_direction_file(request)
        if dir_file:
            print(report(dir_file))


def make_direction_file(request: SurfaceRequest) -> str:
    """Make the requested direction file; without --overwrite, check and keep an existing file.

    Returns:
        The path on rank 0, and an empty text on the other ranks.
    """
    if request.net.is_series:
        fault = f"--model_file {request.net.model_file} names several checkpoints"
        raise InputError(f"{fault}; give the one that the directions start from")
    directions = request.directions
    if directions.dir_file and not request.net.model_file and request.net.model in MODELS:
        fault = f"--dir_file {directions.dir_file} does not exist"
        raise InputError(f"{fault}; give --model_file to make directions of that net there")
    y_options = (directions.ynorm, directions.yignore, directions.same_dir, request.net.model_file3)
    if any(y_options) or directions.ydir != "random":
        request = replace(request, grid=replace(request.grid, y=WHOLE_RANGE))
    request.require_possible()
    machine = request.hardware.connect()
    needs_data = {directions.xdir, directions.ydir} != {"random"}
    sets = request.data.load(machine.ranks) if needs_data else {}
    landscape = make_landscape(request, machine, sets, Measuring().facts())
    if machine.ranks.rank > 0:
        return ""
    tensors, are_new = landscape.find_directions(overwrite=request.run.overwrite)
    if are_new:
        write_directions(landscape, tensors, print)
    return landscape.dir_file
