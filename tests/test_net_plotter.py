"""Directions are those of the paper, file names those of the published program, and a net that was moved comes back."""
import itertools
import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import h5_util
import net_plotter
from errors import InputError


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


@pytest.mark.parametrize("dir_type", net_plotter.DIRECTION_TYPES)
@pytest.mark.parametrize("norm", EXPECTED)
@pytest.mark.parametrize("ignore", ["biasbn", ""])
def test_norms_and_ignores(net, dir_type, norm, ignore):
    tensors = net_plotter.moving_tensors(net, dir_type).values()
    for d, r, w in zip(direction(net, dir_type, norm=norm, ignore=ignore), drawn(net, dir_type), tensors, strict=True):
        if w.dim() > 1:
            assert EXPECTED[norm](d, r, w)
            assert torch.nn.functional.cosine_similarity(d.flatten(), r.flatten(), 0) > 0.999 or norm in ("weight", "filter", "dfilter")
        else:
            assert torch.equal(d, torch.zeros_like(r) if ignore else w.float())


def test_draws_are_gaussian(net):
    values = torch.cat([tensor.flatten() for tensor in (net_plotter.random_direction(nn.Linear(300, 300), "weights")[0],)])
    assert values.min() < -3
    assert values.mean().abs() < 0.02


def test_a_filter_of_zero_norm_does_not_move(net):
    with torch.no_grad():
        net[0].weight[1] = 0
    made = direction(net, "weights", norm="filter")[0]
    assert made[1].abs().max() == 0
    assert made.isfinite().all()


@pytest.mark.parametrize("dir_type", net_plotter.DIRECTION_TYPES)
def test_moving_starts_from_a_snapshot_and_comes_back(net, dir_type):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    axes = [direction(net, dir_type), net_plotter.random_direction(net, dir_type)]
    with net_plotter.moving(net, axes, dir_type) as move:
        for alpha, beta in itertools.product((-0.5, 1.0), (0.25, 2.0)):
            move((alpha, beta))
            for (name, tensor), a, b in zip(net_plotter.moving_tensors(net, dir_type).items(), *axes, strict=True):
                if tensor.is_floating_point():
                    np.testing.assert_allclose(tensor, before[name] + alpha * a + beta * b, rtol=1e-5, atol=1e-6)
        with pytest.raises(ZeroDivisionError), net_plotter.moving(net, axes, dir_type) as again:
            again((1.0, 1.0))
            raise ZeroDivisionError
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


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


def write_new(path: str, net: nn.Module, *recipes: net_plotter.Recipe, dir_type: str = "weights", same_dir: bool = False) -> None:
    directions = net_plotter.make_directions(net, dir_type, list(recipes), same_dir=same_dir)
    h5_util.write_directions(path, net_plotter.arrays(directions))


def test_direction_file_keeps_what_was_made_and_refuses_another_net(net, tmp_path):
    path = str(tmp_path / "direction.h5")
    torch.manual_seed(3)
    write_new(path, net, *[net_plotter.Recipe(norm="filter")] * 2, dir_type="states")
    torch.manual_seed(3)
    expected = [net_plotter.random_direction(net, "states", norm="filter") for _ in "xy"]
    stored = net_plotter.read_direction_file(path, net, "states", dimensions=2)
    assert all(torch.equal(s, e) for made, kept in zip(expected, stored, strict=True) for s, e in zip(made, kept, strict=True))
    with pytest.raises(InputError, match=r"0\.weight has shape \[4, 3, 3, 3\], the net's tensor \[4, 3, 2, 2\]"):
        net_plotter.read_direction_file(path, nn.Sequential(nn.Conv2d(3, 4, 2)), "states", dimensions=2)
    with pytest.raises(InputError, match="9 tensors where the net has"):
        net_plotter.read_direction_file(path, nn.Sequential(*list(net), nn.Linear(5, 5)), "states", dimensions=1)


def test_same_direction_twice_and_too_few(net, tmp_path):
    path = str(tmp_path / "direction.h5")
    write_new(path, net, net_plotter.Recipe(), same_dir=True)
    x, y = h5_util.read_directions(path)
    assert all(np.array_equal(a, b) for a, b in zip(x, y, strict=True))
    write_new(path, net, net_plotter.Recipe())
    with pytest.raises(InputError, match="one direction"):
        net_plotter.read_direction_file(path, net, "weights", dimensions=2)


@pytest.mark.parametrize(("flags", "expected"), [
    (dict(model_file="nets/a/m.t7", dir_type="weights"), "nets/a/m.t7_weights.h5"),
    (dict(model_file="m.t7", dir_type="states", xignore="biasbn", xnorm="layer", idx=2), "m.t7_states_xignore=biasbn_xnorm=layer_idx=2.h5"),
    (dict(model_file="a/m.t7", dir_type="weights", xnorm="filter", ynorm="filter", yignore="biasbn"), "a/m.t7_weights_xnorm=filter.h5"),
    (dict(model_file="a/m.t7", dir_type="weights", xnorm="filter", ynorm="filter", yignore="biasbn", two_d=True),
     "a/m.t7_weights_xnorm=filter_yignore=biasbn_ynorm=filter.h5"),
    (dict(model_file="a/m.t7", dir_type="weights", two_d=True, same_dir=True), "a/m.t7_weights_same_dir.h5"),
    (dict(model_file="a/m.t7", dir_type="states", model_file2="a/n.t7"), "a/m.t7_n.t7_states.h5"),
    (dict(model_file="nets/bs=128/m.t7", dir_type="states", model_file2="nets/bs=8192/m.t7"), "nets/bs=128_m.t7_bs=8192_m.t7_states.h5"),
    (dict(model_file="nets/a/m.t7", dir_type="states", model_file2="nets/b/n.t7", model_file3="nets/c/o.t7", two_d=True),
     "nets/a_m.t7_b_n.t7_states_c_o.t7.h5"),
    (dict(model_file="nets/a/m.t7", dir_type="states", model_file3="nets/a/o.t7", two_d=True), "nets/a/m.t7_states_o.t7.h5"),
    (dict(model_file="m.t7", dir_type="states", model_file2="b/n.t7"), "m.t7_b_n.t7_states.h5"),
    (dict(model_file="p/a/m.t7", dir_type="states", model_file2="q/b/n.t7"), "p/a_m.t7_q_b_n.t7_states.h5"),
])
def test_direction_file_names(flags, expected):
    assert net_plotter.direction_file_name(**flags) == expected


@pytest.mark.parametrize(("flags", "expected"), [
    (dict(x=(-1.0, 1.0, 51), y=None), "d.h5_[-1.0,1.0,51].h5"),
    (dict(x=(-0.5, 1.5, 401), y=(0.0, 1e-05, 3)), "d.h5_[-0.5,1.5,401]x[0.0,1e-05,3].h5"),
    (dict(x=(-1.0, 1.0, 5), y=None, raw_data=True, data_split=4, split_idx=1), "d.h5_[-1.0,1.0,5]_rawdata_datasplit=4_splitidx=1.h5"),
])
def test_surface_file_names(flags, expected):
    assert net_plotter.surface_file_name("d.h5", **flags) == expected


def test_directions_of_another_origin_are_refused_or_made_anew(net, tmp_path):
    path, recipe = str(tmp_path / "direction.h5"), [net_plotter.Recipe()]

    def find(made_with, overwrite=False):
        return net_plotter.find_or_make_directions(path, net, "weights", recipe, same_dir=False, made_with=made_with, overwrite=overwrite)

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
    h5_util.write_directions(path, net_plotter.arrays(first))  # as a file of the published program: nothing known
    assert not find({"model_file": "bb"})[1]


@pytest.mark.parametrize(("variances", "points", "expected"), [
    ([1.0, 1.0], [[0.0], [1.0], [2.0]], None),
    ([-3.0, 0.5], [[0.0], [0.5], [-1.0], [1.0], [2.0]], [[0.5], [1.0], [2.0]]),  # 1 - 3 a < 0 beyond 1/3
])
def test_first_negative_variance(variances, points, expected):
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))  # running variances are 1
    direction = [torch.zeros_like(tensor, dtype=torch.float32) for tensor in net.state_dict().values()]
    direction[list(net.state_dict()).index("1.running_var")] = torch.tensor(variances)
    found = net_plotter.first_negative_variance(net, [direction], np.array(points))
    assert (found is None) == (expected is None)
    if expected:
        assert found[0] == "1"
        np.testing.assert_array_equal(found[1], expected)


FOLDERS = st.sampled_from(["", "nets", "nets/a", "nets/b/c", "/data/nets/a"])
CHECKPOINTS = st.builds(lambda folder, name: f"{folder}/{name}" if folder else name, FOLDERS, st.sampled_from(["model_1.t7", "model_300.t7"]))
OPTIONS = st.fixed_dictionaries({"model_file2": st.just("") | CHECKPOINTS, "model_file3": st.just("") | CHECKPOINTS, "xignore": st.sampled_from(["", "biasbn"]),
                                 "xnorm": st.sampled_from(["", *net_plotter.NORMS]), "yignore": st.sampled_from(["", "biasbn"]),
                                 "ynorm": st.sampled_from(["", *net_plotter.NORMS]), "same_dir": st.booleans(), "idx": st.integers(0, 12)})


@given(CHECKPOINTS, st.sampled_from(net_plotter.DIRECTION_TYPES), OPTIONS)
def test_a_direction_file_lies_in_a_folder_that_is_there(model_file, dir_type, options):
    """Beside the checkpoint, or beside its folder, as the published program names directions between nets of two folders."""
    name = net_plotter.direction_file_name(model_file, dir_type, two_d=True, **options)
    folder = os.path.dirname(model_file)
    assert os.path.dirname(name) in (folder, os.path.dirname(folder))
    assert name.endswith(".h5")


@given(CHECKPOINTS, OPTIONS, OPTIONS)
def test_what_makes_other_random_directions_gives_another_name(model_file, a, b):
    a, b = ({**options, "model_file2": "", "model_file3": ""} for options in (a, b))
    names = [net_plotter.direction_file_name(model_file, "weights", two_d=True, **options) for options in (a, b)]
    assert (names[0] == names[1]) == (a == b)


AXES = st.tuples(st.floats(-9, 0).map(lambda low: low + 0.0), st.floats(0.5, 9), st.integers(1, 99))


@given(AXES, AXES, st.none() | AXES, st.none() | AXES, st.integers(1, 20), st.integers(1, 20), st.booleans(), st.booleans())
def test_another_grid_or_part_of_the_data_gives_another_name(x1, x2, y1, y2, split1, split2, raw1, raw2):
    a, b = (x1, y1, split1, raw1), (x2, y2, split2, raw2)
    names = [net_plotter.surface_file_name("d.h5", x, y, raw_data=raw, data_split=split) for x, y, split, raw in (a, b)]
    assert (names[0] == names[1]) == (a == b)
