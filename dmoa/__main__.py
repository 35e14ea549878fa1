"""Start the command line with ``python -m dmoa``."""

from dmoa.cli import main

if __name__ == "__main__":
    main(prog_name="dmoa")
