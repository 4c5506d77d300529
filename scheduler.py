"""mpirun -n 2 python scheduler.py

Says whether this machine is ready: ranks, devices, working folder.
"""

from losslandscape.cli.scheduler import main

if __name__ == "__main__":
    main()
