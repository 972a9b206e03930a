"""The judge of attacked queries, the probe of models, and the flags that follow from it."""
