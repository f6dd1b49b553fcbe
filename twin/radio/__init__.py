"""Radio propagation: path loss, antenna, shadowing, link adaptation."""
