"""What is connected to what: schema, named queries, stores."""
