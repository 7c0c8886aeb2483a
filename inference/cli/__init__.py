"""The command line, a command a file: `python -m inference`."""
