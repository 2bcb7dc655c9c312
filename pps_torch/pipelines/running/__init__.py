"""The machinery of jobs: options, processes, results, warnings."""
