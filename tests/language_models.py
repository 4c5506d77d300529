"""A small language model with its tokenizer, as transformers saves them; nothing is downloaded."""

from pathlib import Path

import pytest
import torch
from torch import nn

WORDS = ["[BOS]", "the", "loss", "of", "a", "net", "is", "low", "high", "."]


def write_tokenizer(folder: Path, *, begins: bool = False) -> None:
    """Save a tokenizer of whole words; `begins` makes it begin a text with [BOS]."""
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[BOS]")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    if begins:
        words.post_processor = tokenizers.processors.TemplateProcessing(
            single="[BOS] $A", special_tokens=[("[BOS]", 0)]
        )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="[BOS]", model_max_length=40
    )
    fast.save_pretrained(folder)


def write_model(
    folder: Path, *, seed: int = 0, dtype: torch.dtype = torch.bfloat16, layers: int = 2, shards: str = ""
) -> nn.Module:
    """Save a Llama with random weights, and return it."""
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_attention_heads": 2,
        "num_hidden_layers": layers,
    }
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(**sizes, vocab_size=len(WORDS), max_position_embeddings=32)
    net = transformers.LlamaForCausalLM(config).to(dtype).eval()
    net.save_pretrained(folder, **({"max_shard_size": shards} if shards else {}))
    return net


def text(words: int) -> str:
    """Return so many words of a text, drawn with a seed."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(1, len(WORDS), (words,), generator=generator)
    return " ".join(WORDS[int(number)] for number in drawn)
