"""The core of the twin: entities, names, radio and network model, analytics, change control, ports."""
