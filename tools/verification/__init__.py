"""What tools/verify_gpu.py runs, each in a process of its own."""
