"""Backbones, one per file: networks from pixels in [0, 1] to logits."""
