"""What radloop costs, beside others and beside the least that it could cost: `python -m benchmarks` (make bench)."""
