"""The page for people at `/ui`: HTML by Jinja, swapped by htmx, of a service that keeps nothing of a scan."""
