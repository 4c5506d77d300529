"""losscape, as its README says. There the 2-D function gets `output_vtp`, which only the 3-D one has."""

from losscape.create_landscape import create_3D_losscape
from problem import loader, net

X, Y, losses = create_3D_losscape(net, loader, output_vtp=True, num_points=5)
