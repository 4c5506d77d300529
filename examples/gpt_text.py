"""A small GPT-2 (transformers, nothing is downloaded) that learns the text of Python's manual, byte by byte.

    python examples/gpt_text.py
    python plot_surface.py --model examples/gpt_text.py:net --model_file examples/gpt_text.pt \\
        --dataset examples/gpt_text.py:data --loss_name next_token --test_set --data_split 8 \\
        --x=-1:1:25 --y=-1:1:25 --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot
"""

import sys
from pydoc_data.topics import topics

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

BATCH, LENGTH = 16, 64
Batches = list[dict[str, Tensor]]


def net(layers: int = 2) -> nn.Module:
    """Tokens (N, LENGTH) below 128 to scores of the next token (N, LENGTH, 128)."""
    sizes = {"vocab_size": 128, "n_positions": LENGTH, "n_embd": 64, "n_layer": layers, "n_head": 4}
    no_dropout = {"embd_pdrop": 0, "resid_pdrop": 0, "attn_pdrop": 0}
    return GPT2LMHeadModel(GPT2Config(**sizes, **no_dropout, bos_token_id=0, eos_token_id=0))


def data(characters: int = 80_000) -> tuple[Batches, Batches]:
    """Batches of pieces of the text, named as the net takes them; the last tenth is for testing."""
    text = "".join(topics[name] for name in sorted(topics)).encode("ascii", "ignore")
    pieces = torch.tensor(list(text[:characters])).split(LENGTH)[:-1]
    batches = [{"input_ids": batch} for batch in torch.stack(pieces).split(BATCH)]
    tested = len(batches) // 10
    return batches[:-tested], batches[-tested:]


def loss(model: nn.Module, tokens: Tensor) -> Tensor:
    scores = model(tokens).logits[:, :-1]
    return nn.functional.cross_entropy(scores.flatten(0, 1), tokens[:, 1:].flatten())


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if sys.argv[1:] else 15
    torch.manual_seed(0)
    torch.set_num_threads(1)  # a small net is faster with one
    model, (train, test) = net(), data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(epochs):
        for i in torch.randperm(len(train)):
            optimizer.zero_grad()
            loss(model, train[i]["input_ids"]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        mean = sum(loss(model, batch["input_ids"]) for batch in test) / len(test)
    print(f"test loss {mean:.3f} per byte, perplexity {mean.exp():.2f}")
    torch.save(model.state_dict(), __file__.replace(".py", ".pt"))
