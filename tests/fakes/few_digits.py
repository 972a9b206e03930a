"""The data set `digits` with its first 60 queries, so that many attacks on many models take minutes."""

import hashbench
from hashbench.datasets.digits import digits
from hashbench.models.data import ImageSet, RetrievalSplit, split_of_tensors

QUERIES = 60


@hashbench.dataset("few-digits")
def few_digits() -> RetrievalSplit:
    """Real digits; train and database as in `digits`."""
    whole = digits()
    queries = ImageSet(whole.queries.images[:QUERIES], whole.queries.labels[:QUERIES])
    return split_of_tensors(
        train=whole.train, queries=queries, validation=whole.validation, database=whole.database, eps=whole.eps
    )
