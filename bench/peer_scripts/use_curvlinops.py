"""curvlinops, as its documentation says: SciPy finds the eigenvalue."""

from curvlinops import HessianLinearOperator, hutchpp_trace
from problem import loader, net
from scipy.sparse.linalg import eigsh
from torch import nn

weights = [tensor for tensor in net.parameters() if tensor.requires_grad]
H = HessianLinearOperator(net, nn.CrossEntropyLoss(), weights, loader)
(eigenvalue,) = eigsh(H.to_scipy(), k=1, which="LA", tol=1e-3, return_eigenvectors=False)
trace = hutchpp_trace(H, num_matvecs=99)
