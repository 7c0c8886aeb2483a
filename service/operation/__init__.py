"""What those who run the service see and set: logs, metrics, states, signals, port; no routes."""
