"""What tests, studies of faults and benchmarks share and nobody installs."""
