"""Backbones, one a file: networks from pixels in [0, 1] to logits."""
