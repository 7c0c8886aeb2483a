"""The image of deploy/Dockerfile, built and run without Docker: `python -m deploy.rehearsal --help`."""
