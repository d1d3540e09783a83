"""One-shot pruning: what the layers of a trained network multiply, and solvers that use it."""
