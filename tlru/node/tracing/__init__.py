"""OpenTelemetry spans of a write's way across nodes."""
