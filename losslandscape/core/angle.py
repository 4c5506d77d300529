"""The limit for the angle between two directions, because figures draw them at right angles."""

# The largest acceptable absolute cosine of the angle. Random directions of a few thousand weights stay well
# below it. Above it, a circle in the figure is visibly not a circle in weight space, and a path that is
# projected on each direction separately does not fit the contours.
OBLIQUE = 0.1
