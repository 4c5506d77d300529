"""Names of files are those of the published program, and differ where their contents do."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from losslandscape.files import file_names
from losslandscape.nets import direction_parts, net_tensors


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


@pytest.mark.parametrize(
    ("model", "arguments", "expected"),
    [
        ("resnet56", [], "resnet56"),
        ("mine.py:net", [], "mine.py_net"),
        ("mine.py:net", ["depth=3", "act=gelu"], "mine.py_net_depth=3_act=gelu"),
        ("../nets/mine.py:net", [], "nets_mine.py_net"),
        ("/data/nets/mine.py:Nets.small", [], "data_nets_mine.py_Nets.small"),
        (r"C:\nets\mine.py:net", [], "C__nets_mine.py_net"),
        ("torchvision:resnet18", [], "torchvision_resnet18"),
        ("hf:org/name", [], "hf_org_name"),
        ("mine.py:net", ["widths=(8, 16)"], "mine.py_net_widths=_8,_16_~0bfdec3b"),
    ],
)
def test_a_net_without_a_checkpoint_names_its_directions(model, arguments, expected):
    name = file_names.model_name(model, arguments)
    assert name == expected
    assert (
        file_names.direction_file_name(name, "weights", xnorm="filter") == f"{name}_weights_xnorm=filter.h5"
    )


@given(st.text(min_size=1), st.lists(st.text()))
def test_any_net_gives_one_visible_file_name(model, arguments):
    name = file_names.model_name(model, arguments)
    assert name and os.path.basename(name) == name and not name.startswith(".")
    assert name.isascii() and name.isprintable() and len(name) < 80


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
        "xnorm": st.sampled_from(["", *direction_parts.NORMS]),
        "yignore": st.sampled_from(["", "biasbn"]),
        "ynorm": st.sampled_from(["", *direction_parts.NORMS]),
        "same_dir": st.booleans(),
        "idx": st.integers(0, 12),
        "xdir": st.sampled_from(["random", "hessian"]),
        "ydir": st.sampled_from(["random", "hessian"]),
        "params": st.sampled_from(["", "a.b", "a/b", "a_b", "a|b", "b" * 99, "b" * 98]) | st.text(max_size=5),
    }
)


@given(CHECKPOINTS, st.sampled_from(net_tensors.DIRECTION_TYPES), OPTIONS)
def test_a_direction_file_lies_in_a_folder_that_is_there(model_file, dir_type, options):
    """It is the checkpoint's folder or the one above, as in the published program for nets of two folders."""
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
