"""The tools of the agent, one module for each family; they reach the world through `twin.ports` only."""
