# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The loss surface of your own net, from Python
#
# `losslandscape.loss_surface` works as `plot_surface.py`. Net, data and loss are objects here.
# Without an installed package, start Jupyter in `docs/`: the next cell finds the package in the folder above.

# %%
import sys

sys.path.append("..")

import torch
from IPython.display import Image, display
from sklearn.datasets import load_digits
from torch import nn

import losslandscape

# %% [markdown]
# A small net, trained on handwritten digits of 8x8 pixels. `data` is (training, test).

# %%
pictures, digits = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
pictures = pictures.float() / 16
data = (pictures[:1500], digits[:1500]), (pictures[1500:], digits[1500:])

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for _ in range(200):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(data[0][0]), data[0][1])
    loss.backward()
    optimizer.step()
print(f"training loss {loss:.4f}")

# %% [markdown]
# ## A plane around the net
#
# The result holds an array per quantity. Row i lies at `surface.y[i]`, column j at `surface.x[j]`.
# The net is unchanged.

# %%
surface = losslandscape.loss_surface(net, data, x=(-1, 1, 21), y=(-1, 1, 21))
print(surface.names, surface.get("train_loss").shape)

# %% [markdown]
# The plot functions take such a surface, or the name of a surface file. They return the paths of the figures.

# %%
contours, *_, mountain = losslandscape.plot_2d(surface, out="digits", formats=["png"])
display(Image(contours, width=500), Image(mountain, width=600))

# %% [markdown]
# ## Your own loss, on a line, kept in a file
#
# With `surf_file` the values are saved while they are measured. A call that was interrupted resumes when you
# repeat it. A loss is a function of net and batch. It returns the mean; or the mean and its weight; or also
# more means by name.


# %%
def focal(net, batch):
    scores = net(batch[0])
    right = scores.softmax(1).gather(1, batch[1][:, None]).squeeze(1)
    losses = -((1 - right) ** 2) * right.clamp(min=1e-12).log()
    return losses.mean(), len(losses), {"confidence": right.mean(), "samples": losses}


line = losslandscape.loss_surface(net, data, focal, x=(-1, 1, 51), errors=True, surf_file="digits.h5")
for figure in losslandscape.plot_1d("digits.h5", formats=["png"]):
    display(Image(figure, width=500))
