"""The paper's comparisons on given nets, as lists of trainings, surfaces and figures.

`script/experiments.py` runs a study; `script/reproduction.py` draws its figures from the kept surfaces. The
folder of nets has, for each net, a folder with its checkpoint:

    paper/resnet56_sgd_lr=0.1_bs=128_wd=0.0005/model_300.t7            published by the paper's authors
    paper/resnet56_noshort_sgd_lr=0.1_bs=128_wd=0.0005/model_300.t7    likewise
    h100/resnet56/model_165.t7, h100/resnet56_noshort/model_165.t7     165 epochs
    h100/vgg9_sgd_lr=0.1_bs=128_wd=0.0/model_116.t7                    and wd=0.0005
    h100/vgg9_sgd_lr=0.1_bs=8192_wd=0.0/model_85.t7                    and wd=0.0005
    resnet56/model_15.t7, resnet56_noshort/model_15.t7                 15 epochs

The folder of images has CIFAR-10 as trees that torchvision's ImageFolder reads: `cifar10-lossless`, with
1,000 training images a class, and `cifar10-images`, all of it as JPEG, on which the nets of 15 and 165
epochs were trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

PAIR = {"resnet56": "ResNet-56", "resnet56_noshort": "without shortcuts"}
PAPER = "paper/{model}_sgd_lr=0.1_bs=128_wd=0.0005/model_300.t7"
ALONG_X = "--dir_type weights --xnorm filter --xignore biasbn"
ALONG_Y = "--ynorm filter --yignore biasbn"
RAW = "--dir_type weights --xignore biasbn"
DECAYS = {"0": "0.0", "5e-4": "0.0005"}
DECAY_WORDS = {"0": "no decay", "5e-4": "decay 5e-4"}
LAST_EPOCHS = {"128": 116, "8192": 85}
PLANES = range(5)  # numbers of the random planes
PARTS = range(2)  # numbers of the image samples
DEPTHS = ("20", "56")


@dataclass(frozen=True)
class Training:
    """A training with cifar10/main.py.

    Args:
        makes: the checkpoint of its last epoch, in the folder of nets.
        flags: flags of cifar10/main.py; {nets} and {images} stand for the folders.
    """

    makes: str
    flags: str

    def command(self, nets: str, images: str) -> list[str]:
        return ["cifar10/main.py", *_filled(self.flags, nets, images)]


@dataclass(frozen=True)
class Measured:
    """A surface.

    Args:
        name: of its file, without the ending.
        flags: flags of the script; {nets} and {images} stand for the folders.
        script: the script that measures it.
        path: flags of plot_trajectory.py, if the plane is that of a training's checkpoints.
    """

    name: str
    flags: str
    script: str = "plot_surface.py"
    path: str = ""

    def command(self, nets: str, images: str, out: str) -> list[str]:
        """Return the call, without the launcher; `out` is the folder of the surfaces."""
        plane = ["--dir_file", self.directions(out)] if self.path else []
        surf_file = ["--surf_file", f"{out}/{self.name}.h5"]
        return [self.script, *_filled(self.flags, nets, images), *plane, *surf_file]

    def path_command(self, nets: str, images: str, out: str) -> list[str]:
        """Return the call that makes the plane of a path."""
        flags = _filled(self.path, nets, images)
        return ["plot_trajectory.py", *flags, "--dir_file", self.directions(out)]

    def directions(self, out: str) -> str:
        return f"{out}/{self.name}_directions.h5"

    def projection(self, out: str) -> str:
        return f"{self.directions(out)}_proj_cos.h5"


@dataclass(frozen=True)
class Figure:
    """A figure of several surfaces.

    Args:
        name: of its picture in docs/images, without the ending.
        script: the script that draws it.
        titles: the title of each surface, by the surface's name; all are empty for a figure without titles.
        flags: more flags of the script; {surfaces} stands for the folder of the surfaces.
        ending: what the script appends to the beginning of the name.
    """

    name: str
    script: str
    titles: dict[str, str]
    flags: str
    ending: str

    def command(self, surfaces: str, out: str) -> list[str]:
        """Return the call; `surfaces` is the folder of the surfaces, `out` that of the picture."""
        files = [f"{surfaces}/{name}.h5" for name in self.titles]
        titles = ["--title", *self.titles.values()] if any(self.titles.values()) else []
        flags = [word.format(surfaces=surfaces) for word in self.flags.split()]
        return [
            self.script,
            "--surf_file",
            *files,
            *titles,
            *flags,
            "--out",
            f"{out}/{self.name}",
        ]


@dataclass(frozen=True)
class Study:
    """Nets to train if they are absent, surfaces to measure, and the figures of them."""

    about: str
    measured: Sequence[Measured]
    figures: Sequence[Figure] = ()
    trainings: Sequence[Training] = ()


def _filled(flags: str, nets: str, images: str) -> list[str]:
    return [word.format(nets=nets, images=images) for word in flags.split()]


def _net(model: str, file: str) -> str:
    return f"--model {model} --model_file {{nets}}/{file.format(model=model)}"


def _images(folder: str, parts: int) -> str:
    """Return the flags for one of `parts` equal parts of the training images."""
    return f"--dataset folder --datapath {{images}}/{folder} --data_split {parts}"


def _plane(points: int) -> str:
    return f"--x=-1:1:{points} --y=-1:1:{points} {ALONG_X} {ALONG_Y}"


def _contours(name: str, titles: dict[str, str], flags: str = "") -> Figure:
    return Figure(
        name, "plot_2D.py", titles, f"--log --lines --format png {flags}", "_train_loss_2dcontourf.png"
    )


def _curves(name: str, titles: dict[str, str], flags: str = "") -> Figure:
    return Figure(name, "plot_1D.py", titles, f"--log --format png {flags}", "_1d_train_loss_log.png")


def _lit(name: str, surfaces: Sequence[str]) -> Figure:
    flags = "--log --png --own_colours --no_bar --view front --size 1800x700"
    return Figure(name, "h52vtp.py", dict.fromkeys(surfaces, ""), flags, "_front.png")


def _front_page() -> Study:
    """The surfaces of the front page, whose 5,000 images are of the whole training set."""
    planes = [
        Measured(f"paper_{model}", f"{_net(model, PAPER)} --dataset cifar10 --data_split 10 {_plane(51)}")
        for model in PAIR
    ]
    lines = [
        Measured(
            f"paper_{model}_line",
            f"{_net(model, PAPER)} {_images('cifar10-lossless', 20)} --x=-1:1:201 {ALONG_X} --errors",
        )
        for model in PAIR
    ]
    both = {f"paper_{model}": words for model, words in PAIR.items()}
    figures = [
        _lit("front_page", list(reversed(both))),
        Figure(
            "front_page_contours",
            "plot_2D.py",
            both,
            "--paper neurips --letters --lines --format png",
            "_train_loss_2dcontourf.png",
        ),
        _curves("front_page_curves", {f"{name}_line": words for name, words in both.items()}),
    ]
    return Study("the paper's pair of nets, 51x51 points and curves", [*planes, *lines], figures)


def _budgets() -> Study:
    """The same architectures after trainings of three lengths."""
    files = {"15": "{model}/model_15.t7", "165": "h100/{model}/model_165.t7"}
    jpeg = _images("cifar10-images", 100)
    planes = [
        Measured(f"{model}_epochs={epochs}", f"{_net(model, file)} {jpeg} {_plane(25)} --errors")
        for epochs, file in files.items()
        for model in PAIR
    ]
    lines = [
        Measured(
            f"{model}_epochs={epochs}_line", f"{_net(model, file)} {jpeg} --x=-1:1:201 {ALONG_X} --errors"
        )
        for epochs, file in files.items()
        for model in PAIR
    ]
    titles = {
        name: f"{words}, {epochs} epochs"
        for model, words in PAIR.items()
        for epochs, name in (
            ("15", f"{model}_epochs=15"),
            ("165", f"{model}_epochs=165"),
            ("300", f"paper_{model}_idx=0_part=0"),
        )
    }
    without = [name for name in titles if "noshort" in name]
    curve_titles = {
        f"{name.removesuffix('_idx=0_part=0')}_line": words
        for name, words in titles.items()
        if name in without
    }
    figures = [
        _contours("budgets_contours", titles, "--columns 3"),
        _lit("budgets_3d", without),
        _curves("budgets_curves", curve_titles, "--columns 3"),
    ]
    return Study("nets of 15, 165 and 300 epochs", [*planes, *lines], figures)


def _planes() -> Study:
    """Other random planes, and other images, of the paper's pair."""
    places = [(plane, 0) for plane in PLANES] + [(0, part) for part in PARTS if part]
    measured = [
        Measured(
            f"paper_{model}_idx={plane}_part={part}",
            f"{_net(model, PAPER)} {_images('cifar10-lossless', 40)} --split_idx {part} --idx {plane} "
            f"{_plane(25)} --errors",
        )
        for plane, part in places
        for model in PAIR
    ]
    titles = {
        f"paper_{model}_idx={plane}_part=0": f"{words}, plane {plane + 1}"
        for model, words in PAIR.items()
        for plane in PLANES
        if plane
    }
    return Study(
        "five random planes and two samples of images",
        measured,
        [_contours("planes", titles, "--columns 4")],
    )


def vgg9(batch: str, decay: str) -> str:
    """Return the checkpoint of a VGG-9, in the folder of nets."""
    return f"h100/vgg9_sgd_lr=0.1_bs={batch}_wd={DECAYS[decay]}/model_{LAST_EPOCHS[batch]}.t7"


# The nets whose accuracy and weights are measured: the model and the checkpoint of each, by a name.
NETS = {f"paper_{model}": (model, PAPER.format(model=model)) for model in PAIR} | {
    f"vgg9_bs={batch}_wd={decay}": ("vgg9", vgg9(batch, decay)) for decay in DECAYS for batch in LAST_EPOCHS
}


def _batch_sizes() -> Study:
    """Small and large batches, with and without weight decay."""
    nets = {(batch, decay): vgg9(batch, decay) for decay in DECAYS for batch in LAST_EPOCHS}
    words = {net: f"batch {int(net[0]):,}, {DECAY_WORDS[net[1]]}" for net in nets}
    some, fewer = _images("cifar10-lossless", 10), _images("cifar10-lossless", 20)
    between = [
        Measured(
            f"vgg9_wd={decay}_states_{rule}",
            f"{_net('vgg9', vgg9('128', decay))} --model_file2 {{nets}}/{vgg9('8192', decay)} "
            f"--dir_type states --x=-0.5:1.5:41 {some} --bn {rule} --errors",
        )
        for decay in DECAYS
        for rule in ("stored", "recompute")
    ]
    ways = {"line": f"--x=-1:1:51 {ALONG_X}", "line_raw": f"--x=-0.03:0.03:51 {RAW}"}
    lines = [
        Measured(
            f"vgg9_bs={batch}_wd={decay}_{way}", f"{_net('vgg9', nets[batch, decay])} {some} {flags} --errors"
        )
        for way, flags in ways.items()
        for batch, decay in nets
    ]
    planes = [
        Measured(f"vgg9_bs={batch}_wd={decay}_plane", f"{_net('vgg9', file)} {fewer} {_plane(13)} --errors")
        for (batch, decay), file in nets.items()
    ]

    def titles(way: str) -> dict[str, str]:
        return {f"vgg9_bs={batch}_wd={decay}_{way}": words[batch, decay] for batch, decay in nets}

    rules = {"stored": "published rule", "recompute": "re-estimated"}
    between_titles = {
        f"vgg9_wd={decay}_states_{rule}": f"{DECAY_WORDS[decay]}, {rules[rule]}"
        for decay in DECAYS
        for rule in rules
    }
    figures = [
        _curves("vgg9_between", between_titles, "--columns 2"),
        _curves("vgg9_curves", titles("line"), "--together"),
        _curves("vgg9_curves_raw", titles("line_raw"), "--together"),
        _contours("vgg9_contours", titles("plane"), "--columns 2"),
    ]
    return Study("VGG-9 of small and large batches", [*between, *lines, *planes], figures)


def _accuracy() -> Study:
    """One point, the net itself, on all test images."""
    flags = f"{_images('cifar10-lossless', 10)} --test_set --x=0:0:1 {ALONG_X}"
    measured = [Measured(f"{name}_accuracy", f"{_net(*net)} {flags}") for name, net in NETS.items()]
    return Study("accuracies on the 10,000 test images", measured)


def _convexity() -> Study:
    measured = [
        Measured(
            f"paper_{model}_convexity",
            f"{_net(model, PAPER)} {_images('cifar10-lossless', 200)} --tolerance 0.1 {_plane(11)}",
            "plot_hessian_eigen.py",
        )
        for model in PAIR
    ]
    titles = {f"paper_{model}_convexity": words for model, words in PAIR.items()}
    figure = Figure(
        "convexity",
        "plot_2D.py",
        titles,
        "--surf_name max_eig --format png",
        "_min_eig_max_eig_abs_ratio_heat_sns.png",
    )
    return Study("smallest by largest eigenvalue of the Hessian", measured, [figure])


def _depth() -> Study:
    """ResNets of two depths on the digits, with and without shortcuts."""
    models = [f"resnet{depth}{ending}" for ending in ("", "_noshort") for depth in DEPTHS]
    folder = "depth/{}_sgd_lr=0.02_bs=64_wd=0.0005_mom=0.9_save_epoch=20_noaug/model_20.t7"
    trainings = [
        Training(
            folder.format(model),
            f"--dataset digits --model {model} --batch_size 64 --lr 0.02 --epochs 20 --noaug --save_epoch 20 "
            "--save {nets}/depth",
        )
        for model in models
    ]
    measured = [
        Measured(
            f"depth_{model}",
            f"{_net(model, folder.format(model))} --dataset digits --data_split 4 {_plane(13)} --errors",
        )
        for model in models
    ]
    titles = {
        f"depth_{model}": f"ResNet-{model.removeprefix('resnet').replace('_noshort', ', no shortcuts')}"
        for model in models
    }
    return Study("depth", measured, [_contours("depth", titles, "--columns 2")], trainings)


def _path() -> Study:
    """The plane of the principal components of a training's checkpoints."""
    folder = "path/resnet20_sgd_lr=0.1_bs=128_wd=0.0_mom=0.9_save_epoch=1"
    training = Training(
        f"{folder}/model_20.t7",
        "--dataset folder --datapath {images}/cifar10-lossless --model resnet20 --batch_size 128 --lr 0.1 "
        "--weight_decay 0.0 --epochs 20 --save_epoch 1 --save {nets}/path",
    )
    checkpoints = f"--model resnet20 --model_folder {{nets}}/{folder} --max_epoch 20 --save_epoch 1"
    measured = Measured(
        "path",
        f"{_net('resnet20', training.makes)} {_images('cifar10-lossless', 20)} --x=-40:10:26 --y=-8:16:25 "
        "--errors",
        path=f"{checkpoints} --ignore biasbn",
    )
    figure = Figure(
        "path",
        "plot_2D.py",
        {"path": ""},
        f"--proj_file {measured.projection('{surfaces}')} --format png",
        "_train_loss_2dcontour_proj.png",
    )
    return Study("path of a training", [measured], [figure], [training])


STUDIES = {
    "accuracy": _accuracy(),
    "front_page": _front_page(),
    "budgets": _budgets(),
    "planes": _planes(),
    "batch_sizes": _batch_sizes(),
    "convexity": _convexity(),
    "depth": _depth(),
    "path": _path(),
}
