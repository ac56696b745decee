"""Entry point: `python -m demo`."""

from demo.command import main

if __name__ == "__main__":
    main()
