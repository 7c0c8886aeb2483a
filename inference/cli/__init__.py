"""The command line, a command a file: `python -m inference`. No mask is made here."""
