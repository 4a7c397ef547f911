"""python -m pixelwise."""

from pixelwise.interface.cli import main

if __name__ == "__main__":
    main()
