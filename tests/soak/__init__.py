"""Long tests of what a run survives, started by hand; their results stand in docs/reliability.md."""
