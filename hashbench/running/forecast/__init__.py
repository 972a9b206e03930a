"""What a request would do, told before anything is trained: what is missing, cells, passes, hours and memory."""
