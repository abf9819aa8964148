"""`python -m worker` is `ripcord`."""

from worker.cli import main

main()
