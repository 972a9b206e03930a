"""What can go wrong, as a tree.

HashbenchError
|-- UsageError             the request can't be carried out as worded; nothing was trained yet
|   |-- UnknownName        no such attack, defense, method, backbone or data set
|   |-- BadParameter       no such parameter, or a value it can't take
|   |-- BadInput           arrays or files that don't have the form asked for
|   |-- MissingData        a data set's files are not there
|   |-- StoreUnusable      the store or the output folder can't be read or written
|   `-- PluginError        a plugin that can't be loaded, or that takes a name already taken
|-- ClusterLost            the workers of a run are gone; what is finished is kept
`-- InvalidCell            a cell of the matrix has no valid number; the others go on
    |-- CodeRaised         an attack or a defense raised; the next run tries again
    |-- BadOutput          an attack returned no batch of images, a defense no usable model
    |-- NoTarget           a targeted attack on a data set where a query has no disjoint target
    |-- ThreatViolation    an adversarial image lies outside the budget
    `-- TrainingDiverged   the loss of a training is no longer finite
"""


class HashbenchError(Exception):
    """Any error that hashbench explains in one line."""


class UsageError(HashbenchError):
    """A request that can't be carried out as worded."""


class UnknownName(UsageError):
    """A name that no registry entry has."""


class BadParameter(UsageError):
    """A parameter that does not exist, or a value that it can't take."""


class BadInput(UsageError):
    """Arrays or files that don't have the form asked for."""


class MissingData(UsageError):
    """A data set whose files are not where they were looked for."""


class StoreUnusable(UsageError):
    """A folder for results that can't be read or written."""


class PluginError(UsageError):
    """A plugin that can't be loaded."""


class ClusterLost(HashbenchError):
    """A scheduler or workers that can't be reached any more."""


class InvalidCell(HashbenchError):
    """A cell that ends without a valid number."""


class CodeRaised(InvalidCell):
    """An attack or a defense that raised an exception."""


class BadOutput(InvalidCell):
    """An attack that returned no batch of images, or a defense that returned no usable model."""


class NoTarget(InvalidCell):
    """A query for which the database has no label set that is disjoint from its own."""


class ThreatViolation(InvalidCell):
    """An adversarial image outside the budget."""


class TrainingDiverged(InvalidCell):
    """A training whose loss is no longer finite."""
