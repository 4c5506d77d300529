"""Builds nets of other packages by name: `torchvision:NAME`, `timm:NAME`, `hf:NAME_OR_FOLDER`.

A folder of `hf` may hold an adapter of the package peft; then its base is built first.
Nothing is downloaded unless the model's arguments ask for weights of torchvision or timm.
"""

import difflib
import importlib
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch import nn

from losslandscape.core.errors import InputError
from losslandscape.core.text import one_line, with_type
from losslandscape.nets import adapters

# The files of weights that transformers' save_pretrained writes.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# The class of transformers for the task that an adapter's configuration names.
CLASS_OF_TASK = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoModel",
}
NAMES_SHOWN = 3  # a message lists this many missing tensors

Arguments = Mapping[str, Any]


def is_library(model: str) -> bool:
    """Return whether this names a net of one of the packages."""
    return ":" in model and model.partition(":")[0] in _MAKERS


def build(model: str, arguments: Arguments) -> nn.Module:
    """Build a net with its package.

    Nets of torchvision and timm have random weights unless `arguments` choose others. Nets of `hf` have their
    stored weights, or random ones if `model` is a folder without a weight file.

    Args:
        model: a name for which `is_library` is true.
        arguments: keyword arguments of the package's function; for `hf`, entries of the configuration.

    Raises:
        InputError: the package or the net is missing, or the net cannot be built with these arguments.
    """
    library, _, name = model.partition(":")
    package, make = _MAKERS[library]
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        fault = f"model {model} needs the package {package} ({error})"
        raise InputError(fault, f"pip install {package}") from error
    try:
        return make(module, name, arguments)
    except InputError:
        raise
    except Exception as error:  # of any kind: it comes from the net's constructor
        fault = f"model {model} cannot be built ({with_type(error)})"
        raise InputError(fault, "check its name and {model_args}") from error


def tokenizer(model: str) -> str:
    """Return the folder or the name from which transformers reads the tokenizer of a net.

    It is "" for nets that are not of transformers. An adapter without a tokenizer has that of its base.
    """
    library, _, name = model.partition(":")
    if library != "hf":
        return ""
    is_adapter = os.path.isfile(os.path.join(name, adapters.CONFIG))
    if not is_adapter or os.path.isfile(os.path.join(name, "tokenizer_config.json")):
        return name
    return _base(name, adapters.configuration(name).get(adapters.BASE) or "")


def _base(folder: str, base: str) -> str:
    """Return the base of an adapter: a folder beside the adapter if there is no other of its name."""
    beside = os.path.join(folder, base)
    return beside if os.path.isdir(beside) and not os.path.isdir(base) else base


def _torchvision(torchvision: ModuleType, name: str, arguments: Arguments) -> nn.Module:
    _require_known("torchvision", name, torchvision.models.list_models())
    return torchvision.models.get_model(name, **{"weights": None, **arguments})


def _timm(timm: ModuleType, name: str, arguments: Arguments) -> nn.Module:
    architecture = name.partition(".")[0]  # a tag of the weights follows the dot
    _require_known("timm", architecture, timm.list_models())
    return timm.create_model(name, **{"pretrained": False, **arguments})


def _require_known(library: str, name: str, names: list[str]) -> None:
    if name not in names:
        similar = " or ".join(difflib.get_close_matches(name, names))
        advice = f"is it {similar}?" if similar else "see its list_models()"
        raise InputError(f"{library} has no model {name!r}", advice)


def _hf(transformers: ModuleType, name: str, arguments: Arguments) -> nn.Module:
    """Build the net of a folder or a downloaded model; `arguments` override entries of its config.json."""
    if os.path.isfile(os.path.join(name, adapters.CONFIG)):
        return _hf_adapter(transformers, name, arguments)
    if os.path.isdir(name) and not os.path.isfile(os.path.join(name, "config.json")):
        fault = f"model hf:{name} is a folder without a config.json"
        raise InputError(fault, "give one that save_pretrained wrote")
    with _quiet(transformers):
        config = _hf_configuration(transformers, name, arguments)
        architecture = _hf_architecture(transformers, name, config)
        if os.path.isdir(name) and not _has_weights(name):
            if architecture is transformers.AutoModel:
                return architecture.from_config(config)
            return architecture(config)
        return _hf_net(architecture, name, config)


def _hf_adapter(transformers: ModuleType, folder: str, arguments: Arguments) -> nn.Module:
    """Build the base that an adapter's configuration names, and apply the adapter."""
    try:
        peft = importlib.import_module("peft")
    except ImportError as error:
        fault = f"model hf:{folder} is an adapter, which needs the package peft ({error})"
        raise InputError(fault, "pip install peft") from error
    with _quiet(transformers), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            base = _hf_base(transformers, folder, arguments)
        except InputError as error:
            raise InputError(f"model hf:{folder} is an adapter; {error.fault}", error.advice) from error
        net = peft.PeftModel.from_pretrained(base, folder)
    messages = [str(warning.message) for warning in caught]
    for message in messages:
        if "missing adapter keys" in message:
            raise InputError(f"model hf:{folder}: {one_line(message)}", "save the adapter again")
    return net


def _hf_base(transformers: ModuleType, folder: str, arguments: Arguments) -> nn.Module:
    """Build the net that the adapter in a folder was trained on."""
    adapter = adapters.configuration(folder)
    base = adapter.get(adapters.BASE)
    if not base:
        raise InputError("it does not name its base", f"give {adapters.BASE} in its {adapters.CONFIG}")
    base = _base(folder, base)
    try:
        config = _hf_configuration(transformers, base, arguments)
        architecture = _hf_class_of_base(transformers, base, config, adapter)
        return _hf_net(architecture, base, config, others=adapter.get("modules_to_save") or ())
    except InputError as error:
        raise InputError(f"its base: {error.fault}", error.advice) from error


def _hf_class_of_base(transformers: ModuleType, base: str, config: Any, adapter: Mapping[str, Any]) -> Any:
    """Return the class of the net that an adapter was trained on."""
    mapping = adapter.get("auto_mapping") or {}
    name = mapping.get("base_model_class") or CLASS_OF_TASK.get(adapter.get("task_type") or "")
    return getattr(transformers, name or "", None) or _hf_architecture(transformers, base, config)


def _hf_configuration(transformers: ModuleType, name: str, arguments: Arguments) -> Any:
    try:
        config, unknown = transformers.AutoConfig.from_pretrained(
            name, return_unused_kwargs=True, local_files_only=True, **arguments
        )
    except OSError as error:
        fault = f"model hf:{name}: there is no such folder, and the model is not downloaded"
        raise InputError(f"{fault}; run hf download {name} first") from error
    if unknown:
        fault = f"the configuration of hf:{name} has no {', '.join(unknown)}"
        raise InputError(fault, "give other {model_args}")
    return config


def _hf_architecture(transformers: ModuleType, name: str, config: Any) -> Any:
    architecture = (config.architectures or ["AutoModel"])[0]
    if not hasattr(transformers, architecture):
        version = transformers.__version__
        fault = f"model hf:{name} is a {architecture}, which transformers {version} does not have"
        raise InputError(fault, "load it in a FILE.py:FUNCTION of your own")
    return getattr(transformers, architecture)


def _has_weights(folder: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, file)) for file in WEIGHT_FILES)


def _hf_net(architecture: Any, name: str, config: Any, *, others: Collection[str] = ()) -> nn.Module:
    """Return a net with its stored weights, in their own type unless `config` has another.

    transformers maps files of safetensors into memory, so this neither copies weights nor draws random ones.

    Args:
        others: modules whose weights need not be stored.
    """
    try:
        net, loaded = architecture.from_pretrained(
            name, config=config, dtype="auto", local_files_only=True, output_loading_info=True
        )
    except OSError as error:
        fault = f"model hf:{name}: its weights are not downloaded, or damaged ({one_line(error)})"
        raise InputError(f"{fault}; run hf download {name} first") from error
    missing = sorted(name for name in loaded["missing_keys"] if not set(name.split(".")) & set(others))
    if missing:
        names = ", ".join(missing[:NAMES_SHOWN])
        fault = f"model hf:{name}: its weights lack {names}, which a {architecture.__name__} has"
        raise InputError(fault, "correct architectures in its config.json")
    return net


@contextmanager
def _quiet(transformers: ModuleType) -> Iterator[None]:
    """Silence the package's progress bars and warnings, which every rank would print."""
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
