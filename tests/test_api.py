"""Surfaces from Python: the net of a notebook, moved and measured by hand and by the program; standard
errors, batch norms, penalties.
"""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import losslandscape
from losslandscape import api
from losslandscape.core.errors import InputError
from losslandscape.data.user_data import as_samples
from losslandscape.evaluate.evaluation import Evaluator
from losslandscape.files import h5_util
from losslandscape.files.surface import Surface
from losslandscape.measure.loss_measure import Measuring
from losslandscape.nets import net_plotter
from tests.helpers import REPO, mpirun

X = torch.randn(90, 4, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).long()


def small_net(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    net[1].running_mean.normal_()
    return net


def loss_at(net, axes, place, data=(X, Y)):
    moved = copy.deepcopy(net).eval()
    with torch.no_grad():
        for i, parameter in enumerate(moved.parameters()):
            for coordinate, axis in zip(place, axes, strict=True):
                parameter += coordinate * axis[i]
        return float(F.cross_entropy(moved(data[0]), data[1]))


def run_alone_and_on(script, *, ranks):
    """Run a script in its folder, without a launcher and then on several ranks."""
    for launcher in ([], mpirun(ranks)):
        command = [*launcher, sys.executable, str(script)]
        subprocess.run(command, capture_output=True, check=True, timeout=100, cwd=script.parent)


def test_a_plane_is_that_of_the_published_draws_and_the_net_is_left_alone(capfd):
    net = small_net().train()
    handle = net[0].register_forward_hook(lambda *_: None)
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    surface = losslandscape.loss_surface(net, (X, Y), x=(-1, 1, 3), y=(-0.5, 1, 4), quiet=True)
    assert (
        net.training
        and net[3].training
        and handle.id in net[0]._forward_hooks
        and torch.equal(torch.get_rng_state(), state)
    )
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    torch.manual_seed(api.SEED)
    axes = [net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn") for _ in range(2)]
    expected = [[loss_at(net, axes, (x, y)) for x in np.linspace(-1, 1, 3)] for y in np.linspace(-0.5, 1, 4)]
    np.testing.assert_allclose(surface.get("train_loss"), expected, rtol=1e-5)
    assert surface.shape == (4, 3) and surface.names == ["train_loss", "train_acc"]
    assert capfd.readouterr() == ("", "")


def test_towards_other_nets_and_along_given_directions():
    net, other = small_net(), small_net(1)
    line = losslandscape.loss_surface(
        net, {"train": (X, Y), "test": (X[:30], Y[:30])}, target=other, x=(0, 1, 2), quiet=True
    )
    other.eval()
    with torch.no_grad():
        assert line.get("train_loss")[1] == pytest.approx(float(F.cross_entropy(other(X), Y)), rel=1e-5)
        assert line.get("test_loss")[1] == pytest.approx(
            float(F.cross_entropy(other(X[:30]), Y[:30])), rel=1e-5
        )
    direction = [torch.full_like(parameter, 0.01).detach() for parameter in net.parameters()]
    along = losslandscape.loss_surface(net, (X, Y), directions=[direction], x=(-1, 1, 3), quiet=True)
    np.testing.assert_allclose(
        along.get("train_loss"), [loss_at(net, [direction], (x,)) for x in (-1, 0, 1)], rtol=1e-5
    )


def test_a_file_is_resumed_and_refused_to_another_net(tmp_path):
    net, path = small_net(), str(tmp_path / "s.h5")
    losslandscape.loss_surface(net, (X, Y), x=(-1, 1, 5), surf_file=path, quiet=True)
    surface = h5_util.read_surface(path)
    whole = surface.get("train_loss")
    h5_util.write_surface(
        Surface(
            path,
            x=surface.x,
            y=None,
            dir_file=surface.dir_file,
            made_with=surface.made_with,
            quantities={
                "train_loss": np.where(np.arange(5) < 2, whole, -1),
                "train_acc": surface.get("train_acc"),
            },
            measured=np.arange(5) < 2,
        )
    )
    again = losslandscape.loss_surface(net, (X, Y), x=(-1, 1, 5), surf_file=path, quiet=True)
    np.testing.assert_allclose(again.get("train_loss"), whole, rtol=1e-6)
    for asked, sentence in (
        ({"net": small_net(1)}, "was made with another net"),
        ({"seed": 5}, "another x direction .*overwrite=True.*directions=$"),
        ({"x": (-1, 1, 4)}, "another grid.*overwrite=True"),
    ):
        with pytest.raises(InputError, match=sentence):
            losslandscape.loss_surface(
                **{"net": net, "data": (X, Y), "x": (-1, 1, 5), "surf_file": path, "quiet": True, **asked}
            )


@pytest.mark.slow
def test_every_rank_gets_the_whole_surface(tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text(
        f"import sys, torch\nsys.path.insert(0, {str(REPO)!r})\nimport losslandscape\n"
        "from losslandscape.parallel import mpi4pytorch\n"
        "torch.manual_seed(0)\nnet, data = torch.nn.Linear(3, 2), (torch.ones(8, 3), torch.arange(8) % 2)\n"
        "surface = losslandscape.loss_surface(net, data, x=(-1, 1, 7), quiet=True)\n"
        "rank, size = mpi4pytorch.launched()\n"
        "open(f'rank_{rank}_of_{size}', 'w').write(str(surface.get('train_loss').round(5).tolist()))\n"
    )
    run_alone_and_on(script, ranks=2)
    values = [(tmp_path / name).read_text() for name in ("rank_0_of_1", "rank_0_of_2", "rank_1_of_2")]
    assert len(set(values)) == 1 and values[0].count(",") == 6


REFINED = {"x": (-1, 1, 33), "y": (-1, 1, 20), "quiet": True}


def test_a_refined_surface_keeps_its_tolerance_resumes_and_can_be_completed(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    full = losslandscape.loss_surface(small_net(), (X, Y), **REFINED)
    refined = losslandscape.loss_surface(small_net(), (X, Y), refine=0.05, surf_file="s.h5", **REFINED)
    measured = refined.measured("train_loss")
    assert 0.2 < measured.mean() < 0.6 and np.isnan(refined.get("train_loss")[~measured]).all()
    shown = h5_util.as_surface("s.h5").get("train_loss") - full.get("train_loss")
    assert np.abs(shown).max() < 0.05 * np.ptp(full.get("train_loss"))

    lost = np.random.default_rng(0).choice(np.flatnonzero(measured), 60, replace=False)
    kept = measured.copy()
    kept.flat[lost] = False
    stopped = Surface(
        "s.h5",
        x=refined.x,
        y=refined.y,
        dir_file=refined.dir_file,
        quantities={name: np.where(kept, refined.stored(name), -1) for name in refined.names},
        made_with=refined.made_with,
        runs=refined.runs,
    )
    h5_util.write_surface(stopped)
    assert np.isnan(h5_util.as_surface("s.h5").get("train_loss")).any()
    again = losslandscape.loss_surface(small_net(), (X, Y), refine=0.05, surf_file="s.h5", **REFINED)
    assert np.array_equal(again.measured("train_loss"), measured) and len(again.runs) == 2

    arguments = {**REFINED, "quiet": False}
    losslandscape.loss_surface(small_net(), (X, Y), refine=0.05, surf_file="s.h5", **arguments)
    assert "0 of 660 points to measure" in capfd.readouterr().out
    done = losslandscape.loss_surface(small_net(), (X, Y), surf_file="s.h5", **REFINED)
    assert np.allclose(done.get("train_loss"), full.get("train_loss"), rtol=1e-5)
    assert [bool(run.get("refine")) for run in done.runs] == [True, True, False]


def test_a_refinement_says_how_many_points_it_took_and_how_well_it_predicted(capfd):
    arguments = {**REFINED, "quiet": False}
    surface = losslandscape.loss_surface(small_net(), (X, Y), refine=0.05, **arguments)
    count = np.count_nonzero(surface.measured("train_loss"))
    text = capfd.readouterr().out
    assert f"{count} of 660 points measured" in text and "of a checked prediction of train_loss is" in text


@pytest.mark.slow
def test_any_number_of_ranks_refines_at_the_same_points(tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text(
        f"import sys, torch\nsys.path.insert(0, {str(REPO)!r})\nimport losslandscape\n"
        "from losslandscape.parallel import mpi4pytorch\n"
        "torch.manual_seed(0)\nnet, data = torch.nn.Linear(3, 2), (torch.randn(8, 3), torch.arange(8) % 2)\n"
        "grid = {'x': (-1, 1, 33), 'y': (-1, 1, 20)}\n"
        "surface = losslandscape.loss_surface(net, data, **grid, refine=0.01, quiet=True)\n"
        "rank, size = mpi4pytorch.launched()\n"
        "measured = surface.measured('train_loss').astype(int)\n"
        "open(f'rank_{rank}_of_{size}', 'w').write(str(measured.tolist()))\n"
    )
    run_alone_and_on(script, ranks=3)
    masks = [(tmp_path / name).read_text() for name in ("rank_0_of_1", "rank_0_of_3", "rank_2_of_3")]
    assert len(set(masks)) == 1 and 100 < masks[0].count("1") < 600


@pytest.mark.parametrize("refine", [-0.1, 1, "0.02", float("nan")])
def test_a_tolerance_is_a_share(refine):
    with pytest.raises(InputError, match="refine"):
        losslandscape.loss_surface(small_net(), (X, Y), refine=refine, quiet=True)


def test_standard_errors_are_those_of_the_bootstrap():
    net, rng = small_net().eval(), np.random.default_rng(0)
    moved = copy.deepcopy(net)
    with torch.no_grad():
        moved[0].weight += 0.3
        here, there = (F.cross_entropy(n(X), Y, reduction="none").numpy() for n in (net, moved))
    evaluator = Evaluator(net, {"train": as_samples((X, Y))}, errors=True, batch_size=32)
    evaluator.remember_centre()
    net.load_state_dict(moved.state_dict())
    found = evaluator.measure()
    draws = rng.integers(0, 90, (4000, 90))
    assert found["train_loss"] == pytest.approx(there.mean(), rel=1e-5)
    assert found["train_loss_se"] == pytest.approx(there[draws].mean(1).std(), rel=0.05)
    assert found["train_loss_diff_se"] == pytest.approx((there - here)[draws].mean(1).std(), rel=0.05)


def test_standard_errors_of_next_tokens_are_those_of_sentences_drawn_anew():
    """Sentences weigh as many tokens as they have."""
    rng = np.random.default_rng(0)
    lengths = torch.from_numpy(rng.integers(2, 12, 90))
    ids = torch.from_numpy(rng.integers(0, 9, (90, 12)))
    mask = torch.arange(12) < lengths[:, None]
    net = nn.Embedding(9, 9)
    targets = ids.roll(-1, 1).masked_fill(~mask.roll(-1, 1) | (torch.arange(12) == 11), -100)
    found = Evaluator(
        net, {"train": as_samples((ids, targets))}, loss="next_token", errors=True, batch_size=32
    ).measure()
    with torch.no_grad():
        each = (
            F.cross_entropy(net(ids).flatten(0, 1), targets.flatten(), reduction="none", ignore_index=-100)
            .view(90, 12)
            .sum(1)
            .double()
            .numpy()
        )
    counts, draws = (targets != -100).sum(1).numpy(), rng.integers(0, 90, (4000, 90))
    assert found["train_loss"] == pytest.approx(each.sum() / counts.sum(), rel=1e-5)
    assert found["train_loss_se"] == pytest.approx(
        (each[draws].sum(1) / counts[draws].sum(1)).std(), rel=0.05
    )
    assert found["train_loss_diff_se"] == 0


def test_standard_errors_of_a_weighted_mean():
    net, weights = small_net().eval(), 1.0 + Y

    def loss(net, batch):
        losses, weights = F.cross_entropy(net(batch[0]), batch[1], reduction="none"), 1.0 + batch[1]
        return (
            (weights * losses).sum() / weights.sum(),
            weights.sum(),
            {"samples": losses, "sample_weights": weights},
        )

    surface = losslandscape.loss_surface(net, (X, Y), loss, x=(0, 0, 1), errors=True, quiet=True)
    with torch.no_grad():
        each = F.cross_entropy(net(X), Y, reduction="none").numpy()
    draws, weights = np.random.default_rng(0).integers(0, 90, (4000, 90)), weights.numpy()
    assert surface.get("train_loss")[0] == pytest.approx((weights * each).sum() / weights.sum(), rel=1e-5)
    assert surface.get("train_loss_se")[0] == pytest.approx(
        ((weights * each)[draws].sum(1) / weights[draws].sum(1)).std(), rel=0.05
    )


def test_a_loss_that_does_not_tell_that_of_each_sample_has_no_standard_error():
    with pytest.raises(InputError, match="samples"):
        losslandscape.loss_surface(
            small_net(), (X, Y), lambda net, batch: net(batch[0]).mean(), errors=True, quiet=True
        )


def test_batch_norms_are_estimated_anew_as_by_a_loop():
    net = small_net()
    surface = losslandscape.loss_surface(net, (X, Y), x=(-1, 1, 3), bn_samples=90, quiet=True)
    torch.manual_seed(api.SEED)
    axis = net_plotter.random_direction(net, "weights", norm="filter", ignore="biasbn")
    order = np.random.RandomState(0).permutation(90)
    for place, found in zip((-1, 0, 1), surface.get("train_loss"), strict=True):
        moved = copy.deepcopy(net).eval()
        with torch.no_grad():
            for parameter, d in zip(moved.parameters(), axis, strict=True):
                parameter += place * d
            inside = moved[0](X[order])
            moved[1].running_mean, moved[1].running_var = inside.mean(0), inside.var(0)
            assert found == pytest.approx(float(F.cross_entropy(moved(X), Y)), rel=1e-4)
    assert torch.equal(net[1].running_mean, small_net()[1].running_mean)


def test_batch_norms_that_are_estimated_anew_do_not_depend_on_a_probe(monkeypatch):
    found = []
    for size in (16, 90):
        monkeypatch.setattr(Evaluator, "fastest_batch_size", lambda self, size=size: size)
        found.append(
            losslandscape.loss_surface(small_net(), (X, Y), x=(1, 1, 1), bn_samples=90, quiet=True).get(
                "train_loss"
            )[0]
        )
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert (
        Measuring(bn_samples=90, batch_size=16).facts() != Measuring(bn_samples=90).facts()
    )  # that is asked for, and told


def test_batches_of_one_sample_tell_batch_norms_nothing():
    net = small_net()
    batches = [(X[:40], Y[:40]), (X[40:41, :], Y[40:41]), (X[41:], Y[41:])]
    surface = losslandscape.loss_surface(
        net, batches, x=(0, 0, 1), bn_samples=90, batch_size=1000, quiet=True
    )
    assert np.isfinite(surface.get("train_loss")).all()
    with pytest.raises(InputError, match="single sample"):
        losslandscape.loss_surface(net, (X[:1], Y[:1]), x=(0, 0, 1), bn_samples=90, quiet=True)


class Remembers(nn.Module):
    """Keeps what it computes, and a buffer that it replaces."""

    def __init__(self):
        super().__init__()
        self.linear, self.table = nn.Linear(4, 2), None
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.table = torch.ones(2) if self.table is None else self.table
        self.calls = self.calls + 1
        return self.linear(x) * self.table


def test_a_net_that_keeps_what_it_computes_can_be_trained_on():
    net = Remembers()
    losslandscape.loss_surface(net, (X, Y), x=(-1, 1, 3), quiet=True)
    F.cross_entropy(net(X), Y).backward()
    assert net.linear.weight.grad is not None


class Grows(nn.Module):
    """Makes other buffers of its buffers."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.register_buffer("seen", torch.zeros(0))
        self.register_buffer("gone", torch.ones(2))

    def forward(self, x):
        self.seen, self.gone = torch.cat([self.seen, x[:1, 0].detach()]), None
        return self.linear(x)


def test_a_net_that_replaces_its_buffers_gets_them_back():
    net = Grows()
    losslandscape.loss_surface(net, (X, Y), x=(-1, 1, 3), quiet=True)
    assert net.seen.shape == (0,) and torch.equal(net.gone, torch.ones(2))
    with pytest.raises(InputError, match="lazy modules"):
        losslandscape.loss_surface(nn.Sequential(nn.LazyLinear(2)), (X, Y), quiet=True)


def test_a_net_in_double_precision_and_one_whose_loss_needs_gradients_of_the_weights():
    net = nn.Sequential(nn.Linear(4, 2)).double()
    surface = losslandscape.loss_surface(net, (X.double(), Y), x=(0, 0, 1), quiet=True)
    with torch.no_grad():
        assert surface.get("train_loss")[0] == pytest.approx(
            float(F.cross_entropy(net(X.double()), Y)), rel=1e-12
        )

    def sharpness(net, batch):
        loss = F.cross_entropy(net(batch[0]), batch[1])
        return sum(grad.square().sum() for grad in torch.autograd.grad(loss, tuple(net.parameters())))

    net = nn.Sequential(nn.Linear(4, 2))
    assert (
        losslandscape.loss_surface(net, [(X, Y)], sharpness, x=(0, 0, 1), batch_size=90, quiet=True).get(
            "train_loss"
        )[0]
        > 0
    )


def ones(net, value=1.0):
    return [torch.full_like(parameter, value) for parameter in net.parameters()]


REFUSED = {  # what is asked of `small_net`, and the sentence
    "precision": ({"precision": "foo"}, "no precision 'foo'; choose one of 'fp32', 'tf32', 'bf16', ''$"),
    "precision of GPUs": ({"precision": "tf32", "device": "cpu"}, "^precision tf32 is for CUDA"),
    "ignore": ({"ignore": "bias"}, "no ignore 'bias'; choose one of 'biasbn', ''$"),
    "norm": ({"norm": "filters"}, "no norm 'filters'; .*'dfilter'"),
    "dir_type": ({"dir_type": "state"}, "no dir_type 'state'; choose one of 'weights', 'states', ''$"),
    "order": ({"order": "col"}, "no order 'col'; choose one of 'coarse', 'row'$"),
    "schedule": ({"schedule": "lazy"}, "no schedule 'lazy'; choose one of 'dynamic', 'static'$"),
    "loss": ({"loss": "hinge"}, "no loss 'hinge'; .*crossentropy"),
    "loss of no kind": ({"loss": 5}, "no loss 5; "),
    "no point": ({"x": (-0.5, 0.5, 0)}, r"^x \(-0.5, 0.5, 0\) is not \(minimum, maximum, number of points\)"),
    "no number": ({"y": (np.nan, 0.5, 3)}, r"^y \(nan, 0.5, 3\) is not"),
    "infinite": ({"x": (-1e308, 1e308, 3)}, "^x .* is not"),
    "a part of a point": ({"x": (-1, 1, 3.5)}, "^x .* is not"),
    "a word": ({"x": "auto"}, "^x 'auto' is not"),
    "the points themselves": ({"x": np.linspace(-1, 1, 3)}, r"^x array\(.*\) is not"),
    "nothing": ({"y": ()}, r"^y \(\) is not"),
    "no extent": ({"x": (1, 1, 3)}, r"^x \(1, 1, 3\) puts 3 points at one place"),
    "bn_samples below 0": ({"bn_samples": -1}, "^bn_samples -1 is not a whole number of at least 2"),
    "one bn sample": ({"bn_samples": 1}, "^bn_samples 1 is not"),
    "bn_samples in words": ({"bn_samples": "x"}, "^bn_samples 'x' is not"),
    "bn_samples without batch norms": (
        {"net": nn.Linear(4, 2), "bn_samples": 9},
        "no batch norm that keeps statistics; leave .*bn_samples",
    ),
    "weight_decay below 0": ({"weight_decay": -1.0}, "^weight_decay -1.0 is not a finite number"),
    "weight_decay": ({"weight_decay": np.nan}, "^weight_decay nan is not"),
    "batch_size": ({"batch_size": 0}, "^batch_size 0 is not a whole number of at least 1"),
    "seed": ({"seed": 1.5}, "^seed 1.5 is not a whole number"),
    "too few directions": (
        {"directions": [ones(small_net())], "y": (-1, 1, 3)},
        "1 directions for a surface of 2 dimensions",
    ),
    "directions of another net": (
        {"directions": [[torch.ones(2)]]},
        r"^directions\[0\] does not fit the net: .*0\.weight .*; give for each axis a list",
    ),
    "a direction without lists": ({"directions": 5}, "^directions are no lists of tensors"),
    "directions that lead nowhere": (
        {"directions": [ones(small_net(), np.nan)]},
        r"^directions\[0\] holds NaN or infinity for 0\.weight",
    ),
    "directions and target": (
        {"directions": [ones(small_net())], "target": small_net(1)},
        "^directions and target both",
    ),
    "directions and params": (
        {"directions": [ones(small_net())], "params": "weight"},
        "^directions and params both",
    ),
    "params": ({"params": "conv"}, "^params 'conv'"),
    "two targets on a line": (
        {"target": (small_net(1), small_net(2))},
        "^target has 2 nets for a surface of 1 dimension;",
    ),
    "target": ({"target": "other"}, "^target is of type str"),
    "target of another shape": (
        {"target": nn.Linear(4, 2)},
        r"0\.weight has shape \[8, 4\]",
    ),
    "net": ({"net": "resnet20"}, "^net is of type str"),
    "net without parameters": ({"net": nn.Identity()}, "^net has no parameters"),
    "data": ({"data": None}, "^the train data is of type NoneType"),
    "test data alone": ({"data": (None, [(X, Y)])}, "^the train data is of type NoneType"),
    "device": ({"device": "meta"}, "cannot compute on device 'meta'"),
    "folder": ({"surf_file": "nowhere/s.h5"}, "^the folder 'nowhere'"),
}
if not torch.cuda.is_available():
    REFUSED["GPU"] = ({"device": "cuda"}, "^device 'cuda': PyTorch finds no CUDA device here")


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_named_in_a_sentence_before_anything_is_written(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked, sentence = REFUSED[name]
    asked = {"net": small_net(), "data": (X, Y), "x": (-1, 1, 3), "surf_file": "s.h5", "quiet": True, **asked}
    with pytest.raises(InputError, match=sentence) as caught:
        losslandscape.loss_surface(**asked)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_an_axis_without_a_number_has_51_points_and_numbers_of_numpy_are_numbers():
    ends = {"x": (-0.5, np.float32(0.5)), "y": [0, 0, np.int64(1)]}
    surface = losslandscape.loss_surface(nn.Linear(4, 2), (X, Y), **ends, quiet=True)
    np.testing.assert_array_equal(surface.x, np.linspace(-0.5, 0.5, 51))
    assert surface.shape == (1, 51)


@pytest.mark.slow
def test_what_one_rank_alone_cannot_use_stops_all(tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text(
        f"import sys, torch\nsys.path.insert(0, {str(REPO)!r})\nimport losslandscape\n"
        "from losslandscape.parallel import mpi4pytorch\n"
        "rank, _ = mpi4pytorch.launched()\n"
        "net, data = torch.nn.Linear(3, 2), (torch.ones(8, 3), torch.arange(8) % 2)\n"
        "try:\n    losslandscape.loss_surface(net, data, x=(-1, 1, 7), quiet=True,\n"
        "                                  ignore='bias' if rank else 'biasbn')\n"
        "except losslandscape.InputError as error:\n    open(f'rank_{rank}', 'w').write(str(error))\n"
    )
    subprocess.run(
        [*mpirun(2), sys.executable, str(script)], capture_output=True, check=True, timeout=100, cwd=tmp_path
    )
    assert [(tmp_path / f"rank_{rank}").read_text() for rank in (0, 1)] == [
        "there is no ignore 'bias'; choose one of 'biasbn', ''"
    ] * 2


def test_weights_of_16_bits_become_float32_with_fp32():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(11, 8), nn.Flatten(), nn.Linear(24, 2)).to(torch.bfloat16).eval()
    data = torch.randint(11, (40, 3)), torch.randint(2, (40,))
    before = copy.deepcopy(net.state_dict())
    options = {"x": (-1e-3, 1e-3, 3), "quiet": True}
    wide = losslandscape.loss_surface(copy.deepcopy(net).float(), data, **options).get("train_loss")
    surface = losslandscape.loss_surface(net, data, precision="fp32", **options)
    np.testing.assert_allclose(surface.get("train_loss"), wide, rtol=1e-6)
    assert surface.made_with["weights"] == "float32"
    assert not np.allclose(
        losslandscape.loss_surface(net, data, **options).get("train_loss"), wide, rtol=1e-6
    )
    for name, tensor in net.state_dict().items():
        assert tensor.dtype == torch.bfloat16 and torch.equal(tensor, before[name])


def test_given_directions_may_be_parameters():
    net = small_net()
    along = losslandscape.loss_surface(
        net, (X, Y), directions=[list(net.parameters())], x=(0, 0, 1), quiet=True
    )  # they have gradients
    assert np.isfinite(along.get("train_loss")).all()


def test_the_penalty_is_that_of_the_training():
    net = small_net()
    surface = losslandscape.loss_surface(net, (X, Y), x=(0, 0, 1), weight_decay=0.01, quiet=True)
    penalty = 0.005 * sum(float(parameter.detach().square().sum()) for parameter in net.parameters())
    assert surface.get("penalty")[0] == pytest.approx(penalty, rel=1e-5)
    assert surface.get("train_regularised_loss")[0] == pytest.approx(
        surface.get("train_loss")[0] + penalty, rel=1e-5
    )


def test_a_net_that_is_lost_at_the_centre_stops_unless_told_to_go_on():
    net = small_net()
    with torch.no_grad():
        net[0].weight[0, 0] = torch.nan
    with pytest.raises(InputError, match="nan.*allow_nan=True"):
        losslandscape.loss_surface(net, (X, Y), x=(0, 0, 1), quiet=True)
    assert np.isnan(
        losslandscape.loss_surface(net, (X, Y), x=(0, 0, 1), allow_nan=True, quiet=True).get("train_loss")
    ).all()


@pytest.mark.slow
def test_the_plot_functions_take_a_surface_that_has_no_file(tmp_path, monkeypatch):
    from losslandscape.draw.line_figures import plot_1d
    from losslandscape.draw.plane_figures import plot_2d

    monkeypatch.chdir(tmp_path)
    line = losslandscape.loss_surface(small_net(), (X, Y), x=(-1, 1, 5), errors=True, quiet=True)
    plane = losslandscape.loss_surface(small_net(), (X, Y), x=(-1, 1, 5), y=(-1, 1, 5), quiet=True)
    paths = [*plot_1d(line, out="line", formats="png"), *plot_2d(plane, formats=["png"])]
    assert {"line_1d_train_loss.png", "surface_train_loss_2dcontour.png"} <= set(paths)
    assert all((tmp_path / path).stat().st_size > 5000 for path in paths)
    for asked, sentence in (
        ({"formats": "gif"}, "no format 'gif'; choose one of 'pdf'"),
        ({"titles": ["a", "b"]}, "titles="),
        ({}, "titles="),
    ):
        with pytest.raises(InputError, match=sentence):
            plot_1d(*[line] * (1 if asked else 2), **asked)
    with pytest.raises(InputError, match="^'surface' has no quantity 'foo'; it has train_loss"):
        line.get("foo")
    with pytest.raises(InputError, match="^surface has no value to draw"):
        plot_1d(Surface("", x=line.x, y=None, quantities={"train_loss": np.full(5, np.nan)}))


def test_every_public_name_exists():
    assert all(callable(getattr(losslandscape, name)) for name in losslandscape.__all__)


def test_directions_by_name():
    net = small_net()
    surface = losslandscape.loss_surface(
        net, (X, Y), x=(0, 0.01, 2), y=(0, 1, 2), directions=("gradient", "random"), quiet=True
    )
    moved = copy.deepcopy(net).eval().requires_grad_()
    F.cross_entropy(moved(X), Y).backward()
    length = sum(p.grad.square().sum() for p in moved.parameters()).sqrt()
    (here, there), _ = surface.get("train_loss")
    assert (there - here) / 0.01 == pytest.approx(float(length), rel=0.05)
    random = losslandscape.loss_surface(net, (X, Y), x=(0, 1, 2), y=(0, 1, 2), quiet=True)
    assert surface.get("train_loss")[1, 0] == random.get("train_loss")[0, 1]  # the first random direction


@pytest.mark.parametrize(
    ("directions", "words"),
    [
        (["steepest"], "there is no direction 'steepest'; choose one of 'random', 'hessian'"),
        ("gradient", None),
        (["gradient", "sam"], "directions has 2 names for a surface of 1 dimension"),
    ],
)
def test_names_of_directions_that_do_not_fit(directions, words):
    def measure():
        return losslandscape.loss_surface(small_net(), (X, Y), x=(0, 1, 2), directions=directions, quiet=True)

    if words is None:
        assert np.isfinite(measure().get("train_loss")).all()
        return
    with pytest.raises(InputError, match=words):
        measure()


def test_a_net_is_aligned_with_its_permuted_self():
    net, order = small_net().eval(), [3, 1, 0, 2, 7, 6, 5, 4]
    other = copy.deepcopy(net)
    for name, tensor in other.state_dict().items():
        if name[0] in "01" and tensor.dim():
            tensor.copy_(tensor[order].clone())
        elif name == "4.weight":
            tensor.copy_(tensor[:, order].clone())
    for match in ("weights", "activations"):
        aligned = losslandscape.align(net, other, (X, Y), match=match)
        assert aligned.distances[0] > aligned.distances[1] == 0
        assert all(map(torch.equal, aligned.net.state_dict().values(), net.state_dict().values()))
