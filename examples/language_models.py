"""Three small language models (transformers, nothing is downloaded), each trained from the one before.

    python examples/language_models.py
    python plot_surface.py --model hf:examples/language_models/base --loss_name next_token \\
        --dataset text:examples/language_models/manual.txt --samples 32 --x=-1:1:25 --y=-1:1:25 \\
        --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot

`base` learns the text of Python's manual. `tuned` goes on from there with the code of Python's library.
`aligned` goes on from there by direct preference optimisation (Rafailov et al. 2023): it prefers code to the
same tokens in a random order. The first tenth of each text is for testing, in `manual.txt` and `code.txt`.
"""

import copy
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

FOLDER = Path(__file__).with_suffix("")
BATCH, LENGTH, CHARACTERS, WORDS = 16, 64, 300_000, 512
BETA = 0.1  # of the preference: how far the net may go from where it began


def texts() -> dict[str, str]:
    modules = Path(sysconfig.get_path("stdlib")).glob("*.py")
    code = "".join(path.read_text(encoding="utf-8", errors="ignore") for path in sorted(modules))
    manual = "".join(topics[name] for name in sorted(topics))
    return {"manual": manual[:CHARACTERS], "code": code[:CHARACTERS]}


def make_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of bytes and of the most frequent pieces of words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(vocab_size=WORDS, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def losses(net: nn.Module, tokens: Tensor) -> Tensor:
    """Return the mean loss of each piece."""
    scores = net(tokens).logits[:, :-1]
    return cross_entropy(scores.transpose(1, 2), tokens[:, 1:], reduction="none").mean(1)


def train(net: nn.Module, loss: Callable[[Tensor], Tensor], pieces: Tensor, steps: int, rate: float) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(pieces[torch.randint(len(pieces), (BATCH,))]).backward()
        optimizer.step()


def preference(net: nn.Module, before: nn.Module) -> Callable[[Tensor], Tensor]:
    def loss(good: Tensor) -> Tensor:
        bad = good[:, torch.randperm(LENGTH)]
        gains = [(losses(before, tokens) - losses(net, tokens)) * LENGTH for tokens in (good, bad)]
        return -logsigmoid(BETA * (gains[0] - gains[1])).mean()

    return loss


if __name__ == "__main__":
    steps = int(sys.argv[1]) if sys.argv[1:] else 400
    torch.manual_seed(0)
    torch.set_num_threads(1)  # a small net is faster with one
    FOLDER.mkdir(exist_ok=True)
    tokenizer, pieces = make_tokenizer(texts()["manual"]), {}
    for name, text in texts().items():
        (FOLDER / f"{name}.txt").write_text(text[: CHARACTERS // 10], encoding="utf-8")
        tokens = torch.tensor(tokenizer(text[CHARACTERS // 10 :])["input_ids"])
        pieces[name] = tokens[: len(tokens) // LENGTH * LENGTH].view(-1, LENGTH)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    net = LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=WORDS, max_position_embeddings=LENGTH))

    def save(name: str) -> None:
        copy.deepcopy(net).bfloat16().save_pretrained(FOLDER / name)
        tokenizer.save_pretrained(FOLDER / name)

    train(net, lambda batch: losses(net, batch).mean(), pieces["manual"], steps, 4e-3)
    save("base")
    train(net, lambda batch: losses(net, batch).mean(), pieces["code"], steps // 2, 1e-3)
    save("tuned")
    train(net, preference(net, copy.deepcopy(net).requires_grad_(False)), pieces["code"], steps // 4, 2e-4)
    save("aligned")
