"""`python -m perdure.cli` is `perdure`. Side: cli."""

from perdure.cli import main

main()
