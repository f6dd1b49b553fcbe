"""The door between any scene and Python: gRPC server, session, scene client."""
