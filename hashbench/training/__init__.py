"""The training loop, its recipes, and what adversarial trainings share."""
