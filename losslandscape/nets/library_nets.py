"""Nets of other packages by name: `torchvision:NAME`, `timm:NAME`, `hf:NAME_OR_FOLDER`. Nothing is downloaded unless `model_args` ask for it."""

import difflib
import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)  # of transformers

Arguments = Mapping[str, Any]


def is_library(model: str) -> bool:
    """Whether this names a net of one of the packages."""
    return model.partition(":")[0] in _MAKERS and ":" in model


def build(model: str, arguments: Arguments) -> nn.Module:
    """The net as its package makes it with these arguments: `hf` with the weights that are there, the others with random ones.

    Raises:
        InputError: where the package, or in it the net, is not there, or refuses the arguments.
    """
    library, _, name = model.partition(":")
    package, make = _MAKERS[library]
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"--model {model} needs the package {package} ({error}); pip install {package}"
        ) from error
    try:
        return make(module, name, arguments)
    except InputError:
        raise
    except Exception as error:  # of whatever kind the package's nets raise
        raise InputError(
            f"--model {model} cannot be built ({type(error).__name__}: {one_line(error)}); check the name and "
            "--model_args"
        ) from error


def _torchvision(torchvision: ModuleType, name: str, arguments: Arguments) -> nn.Module:
    _require("torchvision", name, torchvision.models.list_models())
    return torchvision.models.get_model(name, **{"weights": None, **arguments})


def _timm(timm: ModuleType, name: str, arguments: Arguments) -> nn.Module:
    _require("timm", name.partition(".")[0], timm.list_models())  # after the dot: with which weights
    return timm.create_model(name, **{"pretrained": False, **arguments})


def _require(library: str, name: str, there: list[str]) -> None:
    if name not in there:
        close = " or ".join(difflib.get_close_matches(name, there))
        raise InputError(
            f"{library} has no model {name!r}; {f'is it {close}?' if close else 'see its list_models()'}"
        )


def _hf(transformers: ModuleType, name: str, arguments: Arguments) -> nn.Module:
    if os.path.isdir(name) and not os.path.isfile(os.path.join(name, "config.json")):
        raise InputError(
            f"--model hf:{name}: is a folder without a config.json; give one that save_pretrained wrote"
        )
    with _quiet(transformers):
        try:
            config, unknown = transformers.AutoConfig.from_pretrained(
                name, return_unused_kwargs=True, local_files_only=True, **arguments
            )
        except OSError as error:
            raise InputError(
                f"--model hf:{name}: there is no such folder, and nothing is downloaded here; give a folder that save_pretrained wrote, or "
                f"first run hf download {name}"
            ) from error
        if unknown:
            raise InputError(f"--model_args: the configuration of hf:{name} has no {', '.join(unknown)}")
        kind = getattr(transformers, (config.architectures or ["AutoModel"])[0], None)
        if kind is None:
            raise InputError(
                f"--model hf:{name} is of architecture {config.architectures[0]}, which transformers {transformers.__version__} lacks; wrap it in "
                "a FILE.py:FUNCTION"
            )
        if os.path.isdir(name) and not any(os.path.isfile(os.path.join(name, file)) for file in WEIGHT_FILES):
            return (kind.from_config if kind is transformers.AutoModel else kind)(config)
        try:
            net, found = kind.from_pretrained(
                name, config=config, local_files_only=True, output_loading_info=True
            )
        except OSError as error:
            raise InputError(
                f"--model hf:{name}: its weights are not downloaded, or damaged ({one_line(error)}); first run hf "
                f"download {name}"
            ) from error
        if found["missing_keys"]:
            raise InputError(
                f"--model hf:{name}: its weights lack {', '.join(sorted(found['missing_keys'])[:3])}, which a {kind.__name__} has; correct "
                "architectures in its config.json"
            )
        return net.float()


@contextmanager
def _quiet(transformers: ModuleType) -> Iterator[None]:
    """Without the package's own progress bars and warnings, which every rank would show."""
    logging = transformers.utils.logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


_MAKERS: dict[str, tuple[str, Callable[[ModuleType, str, Arguments], nn.Module]]] = {
    "torchvision": ("torchvision", _torchvision),
    "timm": ("timm", _timm),
    "hf": ("transformers", _hf),
}
