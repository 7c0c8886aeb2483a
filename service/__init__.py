"""What `api.py` is made of: messages, problems, limits, readiness and logs."""
