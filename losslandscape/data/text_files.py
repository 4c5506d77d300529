"""Loads text files as tokens for language models: `text:FILE`, or `text:TRAIN,TEST`.

The text is cut into pieces of equal length, one after the other. Perplexity is lower for longer pieces, as
their tokens have more text before them.
"""

import importlib
from typing import Any

import torch
from torch import Tensor

from losslandscape.core.errors import InputError
from losslandscape.core.quantity import PARTS
from losslandscape.core.text import one_line
from losslandscape.data import user_data
from losslandscape.data.samples import Samples

PREFIX = "text:"
CONTEXT = 512  # tokens of a piece, unless the net takes fewer
CHARACTERS = 16  # of a token at most; so much is read when only some pieces are wanted


def is_text(dataset: str) -> bool:
    """Return whether the name of a dataset is that of text files."""
    return dataset.startswith(PREFIX)


def load(
    dataset: str,
    *,
    tokenizer: str,
    context: int | None = None,
    test_set: bool | None = False,
    data_split: int = 1,
    split_idx: int = 0,
    count: int | None = None,
) -> dict[str, Samples]:
    """Load text as batches with `input_ids` (pieces, context).

    Args:
        dataset: `text:FILE`, or `text:TRAIN,TEST`.
        tokenizer: a folder with a tokenizer of transformers, or the name of a model in its cache.
        context: the number of tokens in a piece; None for `CONTEXT`, or fewer if the net takes fewer.
        test_set: whether to load the test text too; None if there is one.
        data_split, split_idx: which split of the training pieces to load, as in `dataloader.split_indices`.
        count: the number of pieces of each text to use, the first ones, before the split; None for all.

    Raises:
        InputError: a file or the tokenizer cannot be read, or the text is shorter than a piece.
    """
    files = dict(zip(PARTS, dataset.removeprefix(PREFIX).split(",", 1), strict=False))
    if test_set and "test" not in files:
        raise InputError(f"dataset {dataset} has no text for testing", f"give {{dataset}} as {dataset},TEST")
    if test_set is False:
        files.pop("test", None)
    encoder, most = _encoder(dataset, tokenizer)
    splits = {"train": (data_split, split_idx), "test": (1, 0)}
    sets = {}
    for part, file in files.items():
        pieces = _pieces(file, encoder, context or min(CONTEXT, most), count)
        sets[part] = user_data.as_samples({"input_ids": pieces}, *splits[part], name=part, count=count)
    return sets


def _encoder(dataset: str, name: str) -> tuple[Any, int]:
    """Return a tokenizer, and the number of tokens that its net takes at most."""
    if not name:
        fault = f"dataset {dataset} is cut into tokens by the tokenizer of a language model"
        raise InputError(fault, "give {model} as hf:FOLDER, or {dataset} as a function of yours")
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        fault = f"dataset {dataset} needs the package transformers ({error})"
        raise InputError(fault, "pip install transformers") from error
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, local_files_only=True)
    except Exception as error:  # of many kinds
        fault = f"dataset {dataset}: {name} has no tokenizer that can be read ({one_line(error)})"
        raise InputError(fault, "save it there with save_pretrained") from error
    return tokenizer, min(tokenizer.model_max_length, _positions(transformers, name))


def _positions(transformers: Any, name: str) -> int:
    """Return the length of the longest text that a net takes, by its configuration."""
    try:
        config = transformers.AutoConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):  # a folder with an adapter has a tokenizer alone
        return CONTEXT
    return getattr(config, "max_position_embeddings", None) or CONTEXT


def _pieces(file: str, tokenizer: Any, context: int, count: int | None) -> Tensor:
    """Return tokens (pieces, context); the rest that does not fill a piece is left out.

    If the tokenizer begins a text with a token for that, every piece begins with it.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read(-1 if count is None else count * context * CHARACTERS)
    except OSError as error:
        raise InputError(f"text {file!r} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"text {file!r} is not UTF-8 ({one_line(error)})", "convert it") from error
    begin = tokenizer("")["input_ids"]
    begin = begin if begin == [tokenizer.bos_token_id] else []
    tokens = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    own = context - len(begin)
    if own < 1 or len(tokens) < own or context < 2:
        fault = f"text {file!r} has {len(tokens)} tokens, and a piece has {context}"
        raise InputError(fault, "give a longer text, or a smaller {context} of at least 2")
    pieces = torch.tensor(tokens[: len(tokens) // own * own]).view(-1, own)
    return torch.cat([torch.tensor(begin, dtype=torch.long).expand(len(pieces), -1), pieces], 1)
