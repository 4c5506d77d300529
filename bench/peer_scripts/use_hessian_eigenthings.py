"""hessian-eigenthings, as its README says."""

import hessian_eigenthings
from problem import loader, net
from torch import nn

H = hessian_eigenthings.HessianOperator(
    net, loader, hessian_eigenthings.supervised_loss(nn.functional.cross_entropy)
)
eigenvalue = hessian_eigenthings.lanczos(H, k=5, seed=0).eigenvalues[0]
trace = hessian_eigenthings.trace(H, num_matvecs=99, seed=0).estimate
