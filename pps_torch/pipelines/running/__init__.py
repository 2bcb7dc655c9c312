"""What all jobs share: options, processes, results, unknown ids."""
