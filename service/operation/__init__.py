"""What those see and set who run the service: logs, metrics, probes, signals, and the server itself."""
