"""``python -m geobind`` is the command line, also under torchrun."""

from geobind.cli import main

if __name__ == "__main__":
    main()
