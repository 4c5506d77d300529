"""How far from a right angle two directions may be: figures draw them at right angles."""

# An absolute cosine. Random directions of a few thousand weights stay well below it. Above it, a circle in
# the figure is visibly no circle in weight space, and a path that is projected on each direction separately
# does not fit the contours.
OBLIQUE = 0.1
