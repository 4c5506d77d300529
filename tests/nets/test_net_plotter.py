"""Directions are those of the paper, file names those of the published program, and a net that was moved comes back."""

import itertools
import os
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.files import file_names, h5_util
from losslandscape.nets import net_plotter, net_tensors


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    nn.init.normal_(net[1].weight)
    net(torch.randn(8, 3, 4, 4))  # gives BN statistics of its own
    return net.eval()


def filters(tensor):
    return [row.double().norm().item() for row in tensor]


def drawn(net, dir_type):
    torch.manual_seed(7)
    return [torch.randn(tensor.shape) for tensor in net_plotter.moving_tensors(net, dir_type).values()]


def direction(net, dir_type, **flags):
    torch.manual_seed(7)
    return net_plotter.random_direction(net, dir_type, **flags)


EXPECTED = {  # what the definition in Li et al. says of the result d, for the draw r and the net's w
    "filter": lambda d, r, w: filters(d) == pytest.approx(filters(w), rel=1e-5),
    "layer": lambda d, r, w: d.norm().item() == pytest.approx(w.norm().item(), rel=1e-5),
    "weight": lambda d, r, w: torch.equal(d, r * w),
    "dfilter": lambda d, r, w: filters(d) == pytest.approx([1] * len(d), rel=1e-5),
    "dlayer": lambda d, r, w: d.norm().item() == pytest.approx(1, rel=1e-5),
    "": lambda d, r, w: torch.equal(d, r),
}


@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
@pytest.mark.parametrize("norm", EXPECTED)
@pytest.mark.parametrize("ignore", ["biasbn", ""])
def test_norms_and_ignores(net, dir_type, norm, ignore):
    tensors = net_plotter.moving_tensors(net, dir_type).values()
    for d, r, w in zip(
        direction(net, dir_type, norm=norm, ignore=ignore), drawn(net, dir_type), tensors, strict=True
    ):
        if w.dim() > 1:
            assert EXPECTED[norm](d, r, w)
            assert torch.nn.functional.cosine_similarity(d.flatten(), r.flatten(), 0) > 0.999 or norm in (
                "weight",
                "filter",
                "dfilter",
            )
        else:
            assert torch.equal(d, torch.zeros_like(r) if ignore else w.float())


def test_draws_are_gaussian(net):
    values = torch.cat(
        [tensor.flatten() for tensor in (net_plotter.random_direction(nn.Linear(300, 300), "weights")[0],)]
    )
    assert values.min() < -3
    assert values.mean().abs() < 0.02


def test_a_filter_of_zero_norm_does_not_move(net):
    with torch.no_grad():
        net[0].weight[1] = 0
    made = direction(net, "weights", norm="filter")[0]
    assert made[1].abs().max() == 0
    assert made.isfinite().all()


@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
def test_moving_starts_from_a_snapshot_and_comes_back(net, dir_type):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    axes = [direction(net, dir_type), net_plotter.random_direction(net, dir_type)]
    with net_plotter.moving(net, axes, dir_type) as move:
        for alpha, beta in itertools.product((-0.5, 1.0), (0.25, 2.0)):
            move((alpha, beta))
            for (name, tensor), a, b in zip(
                net_plotter.moving_tensors(net, dir_type).items(), *axes, strict=True
            ):
                if tensor.is_floating_point():
                    np.testing.assert_allclose(
                        tensor, before[name] + alpha * a + beta * b, rtol=1e-5, atol=1e-6
                    )
        with pytest.raises(ZeroDivisionError), net_plotter.moving(net, axes, dir_type) as again:
            again((1.0, 1.0))
            raise ZeroDivisionError
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_other_precisions_move_as_exactly_as_they_can(dtype):
    """Directions are float32; the moved net is the sum of float64 numbers, rounded once."""
    torch.manual_seed(0)
    net = nn.Linear(20, 30).to(dtype)
    before = [tensor.clone() for tensor in net.parameters()]
    x, y = (net_plotter.random_direction(net, "weights", norm="filter") for _ in "xy")
    assert {d.dtype for d in x + y} == {torch.float32}
    assert filters(x[0]) == pytest.approx(filters(before[0].float()), rel=1e-5)
    with net_plotter.moving(net, [x, y], "weights") as move:
        move((0.3, -0.7))
        for tensor, w, a, b in zip(net.parameters(), before, x, y, strict=True):
            exact = w.double() + 0.3 * a.double() - 0.7 * b.double()
            half_a_step = exact.abs() * torch.finfo(dtype).eps / 2 + torch.finfo(dtype).smallest_normal
            rounding = 1e-6 if dtype != torch.float64 else 1e-15
            assert ((tensor.double() - exact).abs() <= half_a_step + rounding).all()
    assert all(
        torch.equal(tensor.double(), w.double()) for tensor, w in zip(net.parameters(), before, strict=True)
    )


@pytest.mark.parametrize("norm", EXPECTED)
def test_nothing_is_nan_where_there_is_nothing(norm):
    net = nn.ParameterDict(
        {
            "empty": torch.empty(0, 3),
            "no_inputs": torch.empty(3, 0, 2),
            "scalar": torch.tensor(2.0),
            "zero": torch.zeros(3, 2),
        }
    )
    direction = net_plotter.random_direction(net, "weights", norm=norm)
    assert all(d.isfinite().all() for d in direction)
    assert [d.shape for d in direction] == [tensor.shape for tensor in net.values()]
    assert torch.equal(direction[2], torch.tensor(2.0))
    if norm in ("filter", "layer", "weight"):
        assert not direction[3].any()


def test_whole_numbers_and_truth_values_stay():
    def numbers(w: float, k: int, b: bool) -> nn.Module:
        values = {
            "b": torch.tensor([b]),
            "k": torch.full((2, 2), k, dtype=torch.int8),
            "w": torch.full((2, 2), w),
        }
        return nn.ParameterDict(
            {name: nn.Parameter(value, requires_grad=False) for name, value in values.items()}
        )

    net = numbers(1.0, 1, True)
    assert [bool(d.any()) for d in net_plotter.random_direction(net, "weights")] == [False, False, True]
    difference = net_plotter.target_direction(net, numbers(0.0, 3, False), "weights")
    assert [d.flatten()[0].item() for d in difference] == [-1, 2, -1]
    with net_plotter.moving(net, [difference], "weights") as move:
        move((1.0,))
        assert [bool(tensor.all()) for tensor in net.parameters()] == [True, True, False]
        assert (net["k"] == 1).all()


def test_to_a_net_with_infinite_masks_and_to_one_of_another_shape(net):
    masked, other = nn.Linear(2, 2), nn.Linear(2, 2)
    for module in (masked, other):
        module.register_buffer("mask", torch.tensor([[0, -torch.inf]]))
    assert all(d.isfinite().all() for d in net_plotter.target_direction(masked, other, "states"))
    with pytest.raises(InputError, match=r"weight of shape \[2, 2\] has shape \[3, 2\] there"):
        net_plotter.target_direction(masked, nn.Linear(2, 3), "weights")
    with pytest.raises(InputError, match="weight of shape .* is not there"):
        net_plotter.target_direction(masked, net, "weights")


@pytest.mark.parametrize("dir_type", net_tensors.DIRECTION_TYPES)
def test_params_moves_a_part_along_the_same_direction(net, dir_type):
    torch.manual_seed(7)
    part = net_plotter.random_direction(net, dir_type, norm="filter", params=r"^3\.|running_mean")
    after = torch.randn(3)
    whole = direction(net, dir_type, norm="filter")
    assert torch.equal(after, torch.randn(3))  # as many draws
    for name, p, w in zip(net_plotter.moving_tensors(net, dir_type), part, whole, strict=True):
        assert torch.equal(
            p, w if name.startswith("3.") or name.endswith("running_mean") else torch.zeros_like(w)
        )
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    made = net_plotter.Recipe(target=lambda: other, params="weight").make(net, dir_type)
    assert {
        name for name, d in zip(net_plotter.moving_tensors(net, dir_type), made, strict=True) if d.any()
    } == {"0.weight", "1.weight", "3.weight"}


def test_params_finds_a_tied_tensor_by_each_of_its_names():
    net = nn.ModuleDict({"embedding": nn.Embedding(5, 3), "head": nn.Linear(3, 5)})
    net["head"].weight = net["embedding"].weight
    assert net_plotter.chosen(net, "states", "head") == {"embedding.weight", "head.bias"}


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ("layer9", r"^params 'layer9' is found in none of the 6 names .*such as 0\.weight, .*3\.weight"),
        ("layer(", r"^params 'layer\(' is not a regular expression \(.*at position 5\)"),
    ],
)
def test_params_that_cannot_be_used(net, params, sentence):
    with pytest.raises(InputError, match=sentence):
        net_plotter.random_direction(net, "weights", params=params)


def test_what_no_direction_moves_is_left_alone(net):
    with net_plotter.moving(net, [direction(net, "weights", params="3")], "weights") as move, torch.no_grad():
        net[0].bias.fill_(5)
        move((1.0,))
    assert (net[0].bias == 5).all()
    with net_plotter.moving(
        net, [[torch.zeros_like(tensor) for tensor in net.parameters()]], "weights"
    ) as move:
        move((1.0,))


def test_an_eigenvector_becomes_a_direction(net):
    """Unit length and a sign of its own; norms, ignore and params as for random ones."""
    names = ("0.weight", "3.weight")
    vector = torch.randn(sum(net.get_parameter(name).numel() for name in names))
    made = [
        net_plotter.Recipe(vector=partial(net_plotter.from_flat, net, dir_type, names, v)).make(net, dir_type)
        for v in (vector, -3 * vector)
        for dir_type in net_tensors.DIRECTION_TYPES
    ]
    expected = vector / vector.norm() * vector[vector.abs().argmax()].sign()
    for dir_type, d in zip(2 * net_tensors.DIRECTION_TYPES, made, strict=True):
        by_name = dict(zip(net_plotter.moving_tensors(net, dir_type), d, strict=True))
        torch.testing.assert_close(torch.cat([by_name.pop(name).flatten() for name in names]), expected)
        assert not any(tensor.any() for tensor in by_name.values())
    filtered = net_plotter.vector_direction(net, "weights", made[0], norm="filter", params="^0")
    assert filters(filtered[0]) == pytest.approx(filters(net[0].weight), rel=1e-5)
    assert not any(d.any() for d in filtered[1:])


@pytest.mark.parametrize("norm", net_plotter.NORMS)
def test_an_eigenvector_of_all_parameters(net, norm):
    """Biases and norm layers are entries like others: each tensor as one filter; with `biasbn` they are out, and a vector of them alone is refused."""
    nn.init.normal_(net[1].bias)
    vector = [torch.randn(tensor.shape) for tensor in net.parameters()]
    made = net_plotter.vector_direction(net, "weights", vector, norm=norm)
    assert all(d.isfinite().all() and d.any() for d in made)
    if norm in ("filter", "layer"):
        assert [d.norm().item() for d in made] == pytest.approx(
            [tensor.norm().item() for tensor in net.parameters()], rel=1e-5
        )
    only_biases = [d if d.dim() == 1 else torch.zeros_like(d) for d in vector]
    with pytest.raises(InputError, match="length 0 in what moves"):
        net_plotter.vector_direction(net, "weights", only_biases, norm=norm, ignore="biasbn")
    ends = net_plotter.vector_direction(net, "weights", only_biases, norm=norm)
    assert all(d.isfinite().all() for d in ends)


def test_one_dimension_and_the_far_end_of_an_interpolation(net):
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5)).eval()
    towards = net_plotter.target_direction(net, other, "states")
    with net_plotter.moving(net, [towards], "states") as move:
        move((1.0,))
        images = torch.randn(2, 3, 4, 4)
        torch.testing.assert_close(net(images), other(images))


def test_cosine():
    a, b = [torch.tensor([1.0, 0.0]), torch.tensor([2.0])], [torch.tensor([0.0, 3.0]), torch.tensor([1.0])]
    assert net_plotter.cosine(a, b) == pytest.approx(2 / (5**0.5 * 10**0.5))
    assert net_plotter.cosine(a, a) == pytest.approx(1)
    assert np.isnan(net_plotter.cosine(a, [torch.zeros(2), torch.zeros(1)]))


def write_new(
    path: str, net: nn.Module, *recipes: net_plotter.Recipe, dir_type: str = "weights", same_dir: bool = False
) -> None:
    directions = net_plotter.make_directions(net, dir_type, list(recipes), same_dir=same_dir)
    h5_util.write_directions(path, net_plotter.arrays(directions))


def test_direction_file_keeps_what_was_made_and_refuses_another_net(net, tmp_path):
    path = str(tmp_path / "direction.h5")
    torch.manual_seed(3)
    write_new(path, net, *[net_plotter.Recipe(norm="filter")] * 2, dir_type="states")
    torch.manual_seed(3)
    expected = [net_plotter.random_direction(net, "states", norm="filter") for _ in "xy"]
    stored = net_plotter.read_direction_file(path, net, "states", dimensions=2)
    assert all(
        torch.equal(s, e)
        for made, kept in zip(expected, stored, strict=True)
        for s, e in zip(made, kept, strict=True)
    )
    with pytest.raises(
        InputError, match=r"0\.weight has shape \[4, 3, 3, 3\], the net's tensor \[4, 3, 2, 2\]"
    ):
        net_plotter.read_direction_file(path, nn.Sequential(nn.Conv2d(3, 4, 2)), "states", dimensions=2)
    with pytest.raises(InputError, match="9 tensors where the net has"):
        net_plotter.read_direction_file(
            path, nn.Sequential(*list(net), nn.Linear(5, 5)), "states", dimensions=1
        )


def test_same_direction_twice_and_too_few(net, tmp_path):
    path = str(tmp_path / "direction.h5")
    write_new(path, net, net_plotter.Recipe(), same_dir=True)
    x, y = h5_util.read_directions(path)
    assert all(np.array_equal(a, b) for a, b in zip(x, y, strict=True))
    write_new(path, net, net_plotter.Recipe())
    with pytest.raises(InputError, match="one direction"):
        net_plotter.read_direction_file(path, net, "weights", dimensions=2)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (dict(model_file="nets/a/m.t7", dir_type="weights"), "nets/a/m.t7_weights.h5"),
        (
            dict(model_file="m.t7", dir_type="states", xignore="biasbn", xnorm="layer", idx=2),
            "m.t7_states_xignore=biasbn_xnorm=layer_idx=2.h5",
        ),
        (
            dict(model_file="a/m.t7", dir_type="weights", xnorm="filter", ynorm="filter", yignore="biasbn"),
            "a/m.t7_weights_xnorm=filter.h5",
        ),
        (
            dict(
                model_file="a/m.t7",
                dir_type="weights",
                xnorm="filter",
                ynorm="filter",
                yignore="biasbn",
                two_d=True,
            ),
            "a/m.t7_weights_xnorm=filter_yignore=biasbn_ynorm=filter.h5",
        ),
        (
            dict(model_file="a/m.t7", dir_type="weights", two_d=True, same_dir=True),
            "a/m.t7_weights_same_dir.h5",
        ),
        (dict(model_file="a/m.t7", dir_type="states", model_file2="a/n.t7"), "a/m.t7_n.t7_states.h5"),
        (
            dict(model_file="nets/bs=128/m.t7", dir_type="states", model_file2="nets/bs=8192/m.t7"),
            "nets/bs=128_m.t7_bs=8192_m.t7_states.h5",
        ),
        (
            dict(
                model_file="nets/a/m.t7",
                dir_type="states",
                model_file2="nets/b/n.t7",
                model_file3="nets/c/o.t7",
                two_d=True,
            ),
            "nets/a_m.t7_b_n.t7_states_c_o.t7.h5",
        ),
        (
            dict(model_file="nets/a/m.t7", dir_type="states", model_file3="nets/a/o.t7", two_d=True),
            "nets/a/m.t7_states_o.t7.h5",
        ),
        (dict(model_file="m.t7", dir_type="states", model_file2="b/n.t7"), "m.t7_b_n.t7_states.h5"),
        (
            dict(model_file="p/a/m.t7", dir_type="states", model_file2="q/b/n.t7"),
            "p/a_m.t7_q_b_n.t7_states.h5",
        ),
        (
            dict(
                model_file="m.t7",
                dir_type="weights",
                xdir="hessian",
                xnorm="filter",
                ydir="random",
                two_d=True,
            ),
            "m.t7_weights_xdir=hessian_xnorm=filter.h5",
        ),
        (
            dict(
                model_file="m.t7",
                dir_type="weights",
                xdir="hessian",
                ydir="hessian",
                two_d=True,
                params="lora_",
                idx=1,
            ),
            "m.t7_weights_xdir=hessian_ydir=hessian_params=lora__idx=1.h5",
        ),
        (
            dict(model_file="m.t7", dir_type="weights", params=r"layer[12]/.*"),
            "m.t7_weights_params=layer_12__._~95414cc5.h5",
        ),
    ],
)
def test_direction_file_names(flags, expected):
    assert file_names.direction_file_name(**flags) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (dict(x=(-1.0, 1.0, 51), y=None), "d.h5_[-1.0,1.0,51].h5"),
        (dict(x=(-0.5, 1.5, 401), y=(0.0, 1e-05, 3)), "d.h5_[-0.5,1.5,401]x[0.0,1e-05,3].h5"),
        (
            dict(x=(-1.0, 1.0, 5), y=None, raw_data=True, data_split=4, split_idx=1),
            "d.h5_[-1.0,1.0,5]_rawdata_datasplit=4_splitidx=1.h5",
        ),
    ],
)
def test_surface_file_names(flags, expected):
    assert file_names.surface_file_name("d.h5", **flags) == expected


def test_directions_of_another_origin_are_refused_or_made_anew(net, tmp_path):
    path, recipe = str(tmp_path / "direction.h5"), [net_plotter.Recipe()]

    def find(made_with, overwrite=False):
        return net_plotter.find_or_make_directions(
            path, net, "weights", recipe, same_dir=False, made_with=made_with, overwrite=overwrite
        )

    first, new = find({"model_file": "aa"})
    assert new
    h5_util.write_directions(path, net_plotter.arrays(first), made_with={"model_file": "aa"})
    again, new = find({"model_file": "aa"})
    assert not new
    assert all(torch.equal(a, b) for a, b in zip(first[0], again[0], strict=True))
    with pytest.raises(InputError, match=r"another model_file \(there aa, here bb\).*--overwrite"):
        find({"model_file": "bb"})
    assert find({"model_file": "bb"}, overwrite=True)[1]
    assert not find({"model_file": "aa"}, overwrite=True)[1]
    h5_util.write_directions(
        path, net_plotter.arrays(first)
    )  # as a file of the published program: nothing known
    assert not find({"model_file": "bb"})[1]


@pytest.mark.parametrize(
    ("variances", "points", "expected"),
    [
        ([[1.0, 1.0], [0.5, 0.5]], [[0.0], [1.0], [2.0]], []),
        (
            [[-3.0, 0.5], [0.0, 0.0]],
            [[0.0], [0.5], [-1.0], [1.0], [2.0]],
            [("1", 0.5), ("1", 1.0), ("1", 2.0)],
        ),  # 1 - 3 a < 0 beyond 1/3
        (
            [[2.0, 2.0], [0.0, -1.0]],
            [[-1.0], [-0.5], [0.0], [1.0], [1.5]],
            [("1", -1.0), ("2", 1.5)],
        ),  # below -1/2, which eps just saves; and beyond 1
        ([[-3.0, 0.0], [-3.0, 0.0]], [[1.0]], [("1", 1.0)]),
    ],
)
def test_negative_variances_of_any_layer(variances, points, expected):
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.BatchNorm2d(2))  # running variances are 1
    direction = [torch.zeros_like(tensor, dtype=torch.float32) for tensor in net.state_dict().values()]
    for layer, change in zip("12", variances, strict=True):
        direction[list(net.state_dict()).index(f"{layer}.running_var")] = torch.tensor(change)
    layers, places = net_plotter.negative_variances(net, [direction], np.array(points))
    assert list(zip(layers, places[:, 0].tolist(), strict=True)) == expected


FOLDERS = st.sampled_from(["", "nets", "nets/a", "nets/b/c", "/data/nets/a"])
CHECKPOINTS = st.builds(
    lambda folder, name: f"{folder}/{name}" if folder else name,
    FOLDERS,
    st.sampled_from(["model_1.t7", "model_300.t7"]),
)
OPTIONS = st.fixed_dictionaries(
    {
        "model_file2": st.just("") | CHECKPOINTS,
        "model_file3": st.just("") | CHECKPOINTS,
        "xignore": st.sampled_from(["", "biasbn"]),
        "xnorm": st.sampled_from(["", *net_plotter.NORMS]),
        "yignore": st.sampled_from(["", "biasbn"]),
        "ynorm": st.sampled_from(["", *net_plotter.NORMS]),
        "same_dir": st.booleans(),
        "idx": st.integers(0, 12),
        "xdir": st.sampled_from(["random", "hessian"]),
        "ydir": st.sampled_from(["random", "hessian"]),
        "params": st.sampled_from(["", "a.b", "a/b", "a_b", "a|b", "b" * 99, "b" * 98]) | st.text(max_size=5),
    }
)


@given(CHECKPOINTS, st.sampled_from(net_tensors.DIRECTION_TYPES), OPTIONS)
def test_a_direction_file_lies_in_a_folder_that_is_there(model_file, dir_type, options):
    """Beside the checkpoint, or beside its folder, as the published program names directions between nets of two folders."""
    name = file_names.direction_file_name(model_file, dir_type, two_d=True, **options)
    folder = os.path.dirname(model_file)
    assert os.path.dirname(name) in (folder, os.path.dirname(folder))
    assert name.isascii()
    assert name.endswith(".h5")


@given(CHECKPOINTS, OPTIONS, OPTIONS)
def test_what_makes_other_random_directions_gives_another_name(model_file, a, b):
    a, b = ({**options, "model_file2": "", "model_file3": ""} for options in (a, b))
    names = [
        file_names.direction_file_name(model_file, "weights", two_d=True, **options) for options in (a, b)
    ]
    assert (names[0] == names[1]) == (a == b)


AXES = st.tuples(st.floats(-9, 0).map(lambda low: low + 0.0), st.floats(0.5, 9), st.integers(1, 99))


@given(
    AXES,
    AXES,
    st.none() | AXES,
    st.none() | AXES,
    st.integers(1, 20),
    st.integers(1, 20),
    st.booleans(),
    st.booleans(),
)
def test_another_grid_or_part_of_the_data_gives_another_name(x1, x2, y1, y2, split1, split2, raw1, raw2):
    a, b = (x1, y1, split1, raw1), (x2, y2, split2, raw2)
    names = [
        file_names.surface_file_name("d.h5", x, y, raw_data=raw, data_split=split)
        for x, y, split, raw in (a, b)
    ]
    assert (names[0] == names[1]) == (a == b)
