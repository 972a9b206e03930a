"""What Python users call: evaluate, run, load_model; the command line is a thin layer over it."""
