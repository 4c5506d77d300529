"""The check report counts and measures right, and each warning comes where its cause is, and only there."""

import json
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from losslandscape.cli.command_line import as_flag
from losslandscape.core.errors import as_argument
from losslandscape.data.image_set import ImageSet
from losslandscape.evaluate import losses
from losslandscape.evaluate.fit_check import Estimate, estimate
from losslandscape.measure import check_report
from losslandscape.measure.report import Report
from losslandscape.nets import net_plotter, net_tensors

POINTS = np.array([[x, y] for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0)])


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10)
    ).eval()


def report(
    net: nn.Module,
    directions=None,
    *,
    dir_type: str = "weights",
    norm: str = "filter",
    ignore: str = "biasbn",
    **known,
) -> Report:
    params = known.get("params", "")
    if directions is None:
        torch.manual_seed(1)
        directions = [
            net_plotter.random_direction(net, dir_type, norm=norm, ignore=ignore, params=params) for _ in "xy"
        ]
    defaults = {
        "points": POINTS,
        "dir_type": dir_type,
        "sets": {"train": range(1437), "test": range(360)},
        "norms": {"x": norm, "y": norm},
    }
    return check_report.report(net, directions, **{**defaults, **known})


def estimated(loss: float, error: float | None = None) -> Estimate:
    return Estimate(loss, error, accuracy=None, samples=1000)


def line(made: Report, beginning: str) -> str:
    (line,) = (line for line in made.lines if line.startswith(beginning))
    return line


def warnings_of(made: Report) -> list[str]:
    """The warnings as the command line writes them."""
    return made.as_dict(as_flag)["warnings"]


def test_a_sound_run_has_facts_and_no_warning():
    net = small_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    made = report(net, centre={"train": estimated(0.5, 0.01)}, penalty=0.1)
    assert made.warnings == []
    # 16·27 + 64·10 move; biases and norms, 2·16 + 16 + 10, do not
    assert line(made, "moves") == "moves: 1,072 of 1,130 parameters (94.87 %)"
    ratios = "conv 1, linear 1, norm 0, bias 0"
    assert line(made, "length") == f"length of direction by length of net: x {ratios}; y {ratios}"
    samples = "samples: 1,437 train, 360 test; standard error of the loss at the centre 0.01 (2 %)"
    assert line(made, "samples") == samples
    assert line(made, "at the centre") == "at the centre: data term 0.5, weight penalty 0.1"
    kept = made.as_dict(as_flag)
    assert json.loads(json.dumps(kept)) == {"lines": made.lines, "warnings": []}
    assert made.text(as_flag) == "\n".join(made.lines)
    assert not any(module.training for module in net.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize(
    ("name_option", "option"), [(as_flag, "--xnorm layer"), (as_argument, "norm='layer'")]
)
def test_advice_names_options_as_the_interface_writes_them(name_option, option):
    made = report(with_dead_filters())
    (warning,) = made.as_dict(name_option)["warnings"]
    assert option in warning and made.text(name_option).endswith(f"\nwarning: {warning}")


def test_braces_in_names_are_not_options():
    net = nn.ModuleDict({"{set}": with_dead_filters()[0]})
    (warning,) = warnings_of(report(net))
    assert "{set}.weight" in warning and "--xnorm layer" in warning
    (warning,) = warnings_of(report(small_net(), params="bias{1}"))
    assert "'bias{1}'" in warning


def test_a_loss_of_zero_is_exact():
    made = report(small_net(), centre={"train": estimated(0.0, 0.0)})
    assert made.warnings == [] and "(0 %)" in line(made, "samples")


def test_states_and_params_are_counted():
    net = small_net()
    moves = line(report(net, dir_type="states", ignore=""), "moves")
    # Counters, a whole number each, never move; running means are zero, and so is a direction of them.
    assert moves == (
        "moves: 1,114 of 1,130 parameters (98.58 %), and 16 of 33 numbers of BN statistics and other buffers"
    )
    assert (
        line(report(net, params="^0"), "moves")
        == "moves: 432 of 1,130 parameters (38.23 %); chosen by the pattern '^0'"
    )


def test_lengths_are_those_of_the_kinds():
    net = small_net()
    directions = [[torch.full_like(tensor, size) for tensor in net.parameters()] for size in (1.0, 2.0)]
    words = line(report(net, directions, norms={}), "length").split("; y ")
    for size, part in zip((1.0, 2.0), words, strict=True):
        for kind, tensors in {
            "conv": [net[0].weight],
            "linear": [net[5].weight],
            "norm": [net[1].weight, net[1].bias],
            "bias": [net[0].bias, net[5].bias],
        }.items():
            expected = (
                size
                * sum(tensor.numel() for tensor in tensors) ** 0.5
                / torch.cat([tensor.flatten() for tensor in tensors]).norm().item()
            )
            assert f"{kind} {expected:.3g}" in part


def with_dead_filters() -> nn.Module:
    net = small_net()
    with torch.no_grad():
        net[0].weight[:3] = 0
    return net


def with_dead_outputs_of_a_transposed_layer() -> nn.Module:
    net = nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2))
    with torch.no_grad():
        net[0].weight[2:, 1] = 0  # output 1 of the second group
    return net.eval()


class AlwaysTraining(nn.Dropout):
    def train(self, mode: bool = True) -> nn.Module:
        return super().train(True)


class AlwaysTrainingNorm(nn.BatchNorm2d):
    def train(self, mode: bool = True) -> nn.Module:
        return super().train(True)


class Adapted(nn.Module):
    def __init__(self):
        super().__init__()
        self.base = nn.Linear(30, 30)
        self.lora_A, self.lora_B = nn.Linear(30, 4, bias=False), nn.Linear(4, 30, bias=False)


def few_numbers() -> list[list[torch.Tensor]]:
    return [[torch.tensor([[1.0, 0.0]])], [torch.tensor([[1.0, 1.0]])]]


WARNINGS = {  # a net, what is given with it, and what is said
    "dead filters": (
        with_dead_filters,
        {},
        r"^3 of 26 filters have zero norm .*first in 0\.weight: they never move.*--xnorm layer",
    ),
    "dead filters that move": (
        with_dead_filters,
        {"norm": "layer"},
        r"^3 of 26 filters .*: the directions move them",
    ),
    "dead transposed filter": (with_dead_outputs_of_a_transposed_layer, {}, "^1 of 6 filters has zero norm"),
    "not normalised": (
        small_net,
        {"norm": ""},
        r"^the x direction is [\d.]+ times as long as the net .* by nothing; --xnorm filter",
    ),
    "its own biases": (
        lambda: nn.Sequential(nn.Linear(2, 50)),
        {"ignore": ""},
        "the cosine between x and y is .*biases.*--xignore biasbn and --yignore biasbn",
    ),
    "few numbers": (
        lambda: nn.Linear(2, 1, bias=False),
        {"directions": few_numbers()},
        "the cosine between x and y is 0.707.*another --idx",
    ),
    "oblique nets": (
        lambda: nn.Linear(2, 1, bias=False),
        {"directions": few_numbers(), "other_model": True},
        "the cosine .*they lead to other nets",
    ),
    "little moves": (
        lambda: nn.Sequential(nn.Linear(30, 30), nn.LayerNorm((60, 60))),
        {},
        r"^only 11\.1 % of the parameters move; 7,200 that stay are of kind norm",
    ),
    "nothing moves": (
        lambda: nn.BatchNorm2d(3),
        {},
        "^nothing moves, so the surface is flat; --xignore and --yignore",
    ),
    "nothing of params moves": (small_net, {"params": "bias"}, "^nothing moves.*'bias'.*--params"),
    "adapters and base": (
        Adapted,
        {},
        "^the net has adapters and its base moves with them; --params lora_ moves the adapters alone",
    ),
    "dropout in training": (
        lambda: nn.Sequential(nn.Linear(64, 64), AlwaysTraining()),
        {},
        r"^dropout layer '1' is in training mode after eval\(\).*super\(\)\.train\(mode\)",
    ),
    "norms in training": (
        lambda: nn.Sequential(nn.Conv2d(9, 9, 3), AlwaysTrainingNorm(9), AlwaysTrainingNorm(9)),
        {},
        r"^2 batch norms, '1' first, are in training mode.*batch size.*--bn",
    ),
    "no statistics": (
        lambda: nn.Sequential(nn.Conv2d(9, 9, 3), nn.BatchNorm2d(9, track_running_stats=False)),
        {},
        "^batch norm '1' is without running statistics.*--batch_size",
    ),
    "few samples": (
        small_net,
        {"centre": {"train": estimated(0.1, 0.03)}},
        "^the standard error of the loss at the centre is 30 % of it.*--data_split",
    ),
    "mostly penalty": (
        small_net,
        {"centre": {"train": estimated(0.01)}, "penalty": 0.5},
        "^the weight penalty at the centre is 0.5 where the data term is 0.01.*--weight_decay",
    ),
    "statistics of one net": (small_net, {"other_model": True}, "--dir_type states to interpolate"),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_each_warning_has_its_cause(name):
    make, known, sentence = WARNINGS[name]
    torch.manual_seed(0)
    warnings = warnings_of(report(make(), **known))
    # Directions of so few weights are often not at right angles either.
    warnings = [warning for warning in warnings if not warning.startswith("the cosine")] or warnings
    assert re.search(sentence, warnings[0])
    assert len(warnings) == (2 if name == "not normalised" else 1)  # x and y


def test_negative_variances_are_reported():
    net = small_net()
    directions = [[torch.zeros(tensor.shape) for tensor in net.state_dict().values()] for _ in "xy"]
    place = list(net.state_dict()).index("1.running_var")
    directions[0][place][:] = -2
    (warning,) = [
        warning
        for warning in warnings_of(report(net, directions, dir_type="states", norms={}))
        if "variance" in warning
    ]
    assert warning.startswith(
        "a batch norm's variance is negative at 3 of 9 points, first that of 1 at (1, 0)"
    )
    assert "--bn recompute" in warning


def test_recomputed_statistics_are_neither_negative_nor_those_of_another_net():
    net = small_net()
    directions = [[torch.zeros(tensor.shape) for tensor in net.state_dict().values()] for _ in "xy"]
    directions[0][list(net.state_dict()).index("1.running_var")][:] = -2
    known = {"dir_type": "states", "norms": {}}
    warned = warnings_of(report(net, directions, **known))
    cured = warnings_of(report(net, directions, **known, recomputed=True))
    assert [warning for warning in warned if warning not in cured] == [warned[-1]]
    assert "variance" in warned[-1] and len(cured) == len(warned) - 1
    assert warnings_of(report(net, other_model=True, recomputed=True)) == []


def test_an_accuracy_far_below_the_recorded_one_is_reported():
    net = small_net()
    data = ImageSet(torch.randn(200, 3, 4, 4), torch.randint(10, (200,)), None, None)
    with torch.inference_mode():
        accuracy = 100 * (net(data.images).argmax(1) == data.labels).float().mean().item()
    centre = {"train": estimated(0.5), "test": estimate(net, data, losses.find("crossentropy"))}
    sets = {"train": range(9), "test": data}
    (warning,) = warnings_of(report(net, sets=sets, centre=centre, recorded=95.0))
    assert f"{accuracy:.1f} % of the test samples" in warning and "95.0 %" in warning
    assert report(net, sets=sets, centre=centre, recorded=accuracy + 1).warnings == []


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("lora_", "they move, the base does not"),
        ("base", "the base moves, they do not"),
        ("", "they and the base move"),
    ],
)
def test_adapters_or_base(params, said):
    made = report(Adapted(), params=params)
    assert line(made, "adapters") == f"adapters: 2 tensors such as lora_A.weight; {said}"
    assert len(made.warnings) == (not params)


def test_ties_are_named():
    net = nn.ModuleDict({"embedding": nn.Embedding(50, 30, padding_idx=0), "head": nn.Linear(30, 50)})
    net["head"].weight = net["embedding"].weight
    for dir_type in net_tensors.DIRECTION_TYPES:
        made = report(net, dir_type=dir_type)
        assert line(made, "tied") == "tied tensors, moved once: embedding.weight = head.weight"
        assert (
            line(made, "moves") == "moves: 1,470 of 1,550 parameters (94.84 %)"
        )  # the row for padding, zero, and the biases stay
        assert made.warnings == []


def test_one_dimension_and_other_precisions():
    net = small_net().to(torch.bfloat16)
    directions = [net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn")]
    made = report(net, directions, points=POINTS[:, :1], norms={"x": "filter"})
    assert line(made, "length") == "length of direction by length of net: x conv 1, linear 1, norm 0, bias 0"
    assert not any(line.startswith("cosine") for line in made.lines)
    assert made.warnings == []


def test_directions_do_not_matter_at_the_centre():
    assert report(small_net(), norm="", points=np.zeros((1, 2))).warnings == []


def pruned_net() -> nn.Module:
    """The small net with 80 % of its linear weights masked, and 4 of its 16 convolution filters."""
    net = small_net()
    prune.l1_unstructured(net[5], "weight", 0.8)
    prune.ln_structured(net[0], "weight", 0.25, n=2, dim=0)
    return net


@pytest.mark.parametrize("norm", ["filter", "layer"])
def test_pruned_entries_do_not_move_and_are_no_mistake(norm):
    made = report(pruned_net(), norm=norm)
    masked = 512 + 4 * 27
    moving = 1072 - masked
    assert line(made, "moves") == (
        f"moves: {moving} of 1,130 parameters ({moving / 11.3:.4g} %), {masked} are pruned or without effect"
    )
    assert line(made, "length").startswith(
        "length of direction by length of net: x conv 1, linear 1, norm 0, bias 0;"
    )
    assert line(made, "filters") == (
        "filters of zero norm: 4 of 26, the first in 0.weight; 4 are pruned and never move"
    )
    assert made.warnings == []


def test_few_moving_parameters_are_counted_of_those_that_have_an_effect():
    net = nn.Sequential(nn.Linear(30, 30), nn.LayerNorm((60, 60)))
    prune.random_unstructured(net[0], "weight", 0.5)
    (warning,) = warnings_of(report(net))
    share = 450 / (450 + 30 + 7200)
    assert warning.startswith(f"only {100 * share:.3g} % of the parameters that have an effect move; 7,200")


def test_directions_that_were_normalised_by_what_is_stored_are_told():
    """A direction file of an earlier version: filters of the stored weights, with their masked entries."""
    net = pruned_net()
    torch.manual_seed(1)
    plain = small_net()
    old = dict(
        zip(
            [name for name, _ in plain.named_parameters()],
            net_plotter.random_direction(plain, "weights", norm="filter", ignore="biasbn"),
            strict=True,
        )
    )
    axis = [old[name.removesuffix("_orig")] for name, _ in net.named_parameters()]
    made = report(net, [axis], points=POINTS[:, :1], norms={"x": "filter"})
    ratios = [
        ((d * mask).flatten(1).norm(dim=1) / weight.flatten(1).norm(dim=1))[weight.flatten(1).any(1)]
        for d, mask, weight in (
            (old["0.weight"], net[0].weight_mask, net[0].weight),
            (old["5.weight"], net[5].weight_mask, net[5].weight),
        )
    ]
    low, high = ratios[1].min().item(), ratios[1].max().item()
    (warning,) = warnings_of(made)
    assert warning.startswith(f"the x direction moves 5.weight by {low:.3g} to {high:.3g} times")
    assert "move the file away" in warning
    assert torch.allclose(ratios[0], torch.ones(12))
    assert line(made, "moves").startswith("moves: 452 of")


def zero_in(net: nn.Module, filters: slice) -> nn.Module:
    with torch.no_grad():
        net[0].weight[filters] = 0
    return net


@pytest.mark.parametrize(
    ("norms", "filters", "advice"),
    [
        ("filter", slice(3), "--xnorm layer"),
        ("weight", slice(3), "--xnorm layer"),
        ("layer", slice(3), None),
        ("dfilter", slice(3), None),
        ("dlayer", slice(3), None),
        ("", slice(3), None),
        ("filter", slice(16), "--xnorm dfilter"),
        ("weight", slice(16), "--xnorm dfilter"),
        ("layer", slice(16), "--xnorm dfilter"),
        ("dfilter", slice(16), None),
    ],
)
def test_advice_for_zero_filters_is_what_moves_them(norms, filters, advice):
    net = zero_in(small_net(), filters)
    made = warnings_of(report(net, norm=norms))
    (warning,) = (one for one in made if "zero norm" in one)
    if advice is None:
        assert warning.endswith("the directions move them away from zero")
        return
    assert "never move" in warning and f"; {advice} moves" in warning
    torch.manual_seed(1)
    followed = net_plotter.random_direction(net, "weights", norm=advice.split()[1], ignore="biasbn")
    assert followed[0][filters].flatten(1).any(1).all()


def test_zero_filters_that_are_not_random_or_not_chosen_have_no_advice():
    net = zero_in(small_net(), slice(3))
    (warning,) = warnings_of(report(net, norms={}))
    assert warning.endswith(": the directions do not move them")
    assert report(net, params="^5").warnings == []
    assert "--ynorm layer" in warnings_of(report(net, norms={"y": "filter"}))[0]


@pytest.mark.parametrize("parametrize", [parametrizations.weight_norm, parametrizations.spectral_norm])
@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
def test_parametrized_nets_have_the_length_of_their_weights(parametrize, dir_type):
    net = small_net()
    parametrize(net[0]), parametrize(net[5])
    made = report(net.eval(), dir_type=dir_type)
    assert made.warnings == []
    assert "x conv 1, linear 1, norm 0, bias 0" in line(made, "length")
