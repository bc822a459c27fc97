"""`python -m flowbot`: the command line."""

from flowbot.faces.cli import main

main()
