"""Jobs from files to files: each reads, calls a library function on tensors, and writes."""
