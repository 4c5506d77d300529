"""What is in these files."""

from losslandscape.cli.file_report import main

if __name__ == "__main__":
    main()
