"""Questions to answers: tool registry, embedded planner, agent loop."""
