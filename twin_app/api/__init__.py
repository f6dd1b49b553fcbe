"""The REST face: one FastAPI application over the running twin."""
