"""What a GPU would have to do, counted without one."""
