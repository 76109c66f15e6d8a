"""`python -m turnout`, for where the console script is not on the PATH."""

from turnout.cli import main

main()
