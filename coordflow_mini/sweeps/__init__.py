"""Jobs, sweeps, time budgets and the demo."""
