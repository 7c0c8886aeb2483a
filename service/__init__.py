"""What `api.py` is made of: a scan's content, turn and answer, probes, server. No mask is made here."""
