"""The page for people at `/ui`: HTML by Jinja, swapped by htmx, of a service that keeps nothing of a scan.

All that was found of a scan is in the answer that shows it, and goes when its page is closed. To be cut
at another threshold, scan and map are sent along again. Only `create_app` imports this, where `UI` is on.
"""
