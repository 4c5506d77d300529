"""Finds the target in a batch: labels, values to predict, or the next tokens of a text."""

import torch.nn.functional as F
from torch import Tensor

from losslandscape.core.errors import InputError
from losslandscape.data.samples import Batch
from losslandscape.data.structure import is_named

NAMES = ("labels", "label", "targets", "target")  # possible names of the target in a batch that is a dict
IGNORED = -100  # PyTorch's class number for tokens and pixels that a loss ignores


def last_or_named(batch: Batch) -> Tensor:
    """Return the last tensor of a tuple, or the tensor of a dict under the first of `NAMES` that it has.

    Raises:
        InputError: if a dict has none of `NAMES`.
    """
    if not is_named(batch):
        return _long(batch[-1])
    for name in NAMES:
        if name in batch:
            return _long(batch[name])
    raise InputError(
        f"a batch has {', '.join(batch.keys())} and none of {', '.join(NAMES)}",
        "name the target so, or give a loss of your own",
    )


def next_tokens(batch: Batch) -> Tensor:
    """Return the token that follows each token (N, length); `IGNORED` follows the last token.

    A batch of two tensors holds the tokens and the next tokens. Any other tuple begins with the tokens. In a
    dict the tokens have one of `NAMES`, or `input_ids`; `IGNORED` then replaces tokens of `input_ids` where
    an `attention_mask` is 0.

    Raises:
        InputError: if a dict has neither one of `NAMES` nor `input_ids`.
    """
    if not is_named(batch) and len(batch) == 2:
        return _long(batch[1])
    tokens = _tokens(batch)
    return F.pad(tokens[:, 1:], (0, 1), value=IGNORED)


def _tokens(batch: Batch) -> Tensor:
    if not is_named(batch):
        return _long(batch[0])
    if any(name in batch for name in NAMES):
        return last_or_named(batch)
    if "input_ids" not in batch:
        raise InputError(
            f"a batch has {', '.join(batch.keys())} and neither input_ids nor labels",
            "name the tokens so, or give a loss of your own",
        )
    tokens = _long(batch["input_ids"])
    if "attention_mask" in batch:
        tokens = tokens.masked_fill(batch["attention_mask"] == 0, IGNORED)
    return tokens


def _long(tensor: Tensor) -> Tensor:
    """Convert integers of any kind to int64, which PyTorch's losses need: in uint8, -100 would be 156."""
    if tensor.is_floating_point() or tensor.is_complex():
        return tensor
    return tensor.long()
