"""PyHessian, as its README says."""

import numpy as np
from problem import loader, net
from pyhessian import hessian
from torch import nn

computer = hessian(net, nn.CrossEntropyLoss(), dataloader=loader, cuda=False)
top_eigenvalues, top_eigenvectors = computer.eigenvalues()
eigenvalue = top_eigenvalues[0]
trace = np.mean(computer.trace())
