"""Synthetic scans and volumes with exact labels, for whoever has no data; no scan of a person is used."""
