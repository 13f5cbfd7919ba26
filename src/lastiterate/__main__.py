"""``python -m lastiterate`` is the command line."""

from .cli import main

main()
