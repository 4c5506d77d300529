"""python plot_film.py --surf_file examples/surfaces/film_[246].h5 --proj_file examples/surfaces/film_proj.h5

Draws a training as a film: a surface around each checkpoint.
"""

from losslandscape.cli.plot_film import main

if __name__ == "__main__":
    main()
