"""What attacks share: the gradient loop, step rules, objectives, helper networks."""
