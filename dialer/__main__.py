"""`python -m dialer`: the same as the `dialer` command."""

from __future__ import annotations

from dialer.cli import main

if __name__ == "__main__":
    main()
