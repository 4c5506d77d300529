"""When two directions are far enough from a right angle to mislead: figures draw them at one."""

# A cosine. Random directions of a few thousand weights stay well below it. Above it, circles on the figure
# are visibly no circles among the weights, and coordinates that are lengths along each direction do not fit
# the contours.
OBLIQUE = 0.1
