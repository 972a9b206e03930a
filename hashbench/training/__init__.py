"""The training loop, recipes, and what adversarial trainings share."""
