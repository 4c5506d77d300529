"""A small GPT-2 (transformers, nothing is downloaded) that writes like the manual that comes with Python, byte by byte.

    python examples/gpt_text.py
    python plot_surface.py --model examples/gpt_text.py:net --model_file examples/gpt_text.pt \\
        --dataset examples/gpt_text.py:data --loss_name next_token --test_set --data_split 8 \\
        --x=-1:1:25 --y=-1:1:25 --xnorm filter --xignore biasbn --ynorm filter --yignore biasbn --plot
"""

import sys
from pydoc_data.topics import topics

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

BATCH, LENGTH = 16, 64


def net(layers: int = 2) -> nn.Module:
    """Token numbers (N, LENGTH) below 128 to scores of the next token (N, LENGTH, 128)."""
    sizes = {
        "vocab_size": 128,
        "n_positions": LENGTH,
        "n_embd": 64,
        "n_layer": layers,
        "n_head": 4,
        "embd_pdrop": 0,
        "resid_pdrop": 0,
        "attn_pdrop": 0,
    }
    return GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))


def data(characters: int = 80_000) -> tuple[list[dict[str, torch.Tensor]], list[dict[str, torch.Tensor]]]:
    """Batches of pieces of the text, as the net takes them by name; the last tenth is for testing."""
    text = "".join(topics[name] for name in sorted(topics)).encode("ascii", "ignore")[:characters]
    pieces = torch.tensor(list(text)).split(LENGTH)[:-1]
    batches = [{"input_ids": batch} for batch in torch.stack(pieces).split(BATCH)]
    return batches[: -(len(batches) // 10)], batches[-(len(batches) // 10) :]


def loss(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(model(tokens).logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if sys.argv[1:] else 15
    torch.manual_seed(0)
    torch.set_num_threads(1)  # for a small net, threads wait more than they work
    model, (batches, others) = net(), data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(epochs):
        for i in torch.randperm(len(batches)):
            optimizer.zero_grad()
            loss(model, batches[i]["input_ids"]).backward()
            optimizer.step()
    with torch.no_grad():
        mean = sum(loss(model.eval(), batch["input_ids"]) for batch in others) / len(others)
    print(f"test loss {mean:.3f} a byte, perplexity {mean.exp():.2f}")
    torch.save(model.state_dict(), __file__.replace(".py", ".pt"))
