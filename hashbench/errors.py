"""All errors of hashbench, as a tree.

HashbenchError
|-- UsageError             the request can't be carried out; nothing has been trained yet
|   |-- UnknownName        no such attack, defense, method, backbone or data set
|   |-- BadParameter       an unknown parameter, or an invalid value
|   |-- BadInput           arrays or files that don't have the expected form
|   |-- MissingData        files are missing: a data set's, or weights
|   |-- StoreUnusable      the store or the output folder can't be read or written
|   `-- PluginError        a plugin can't be loaded, or registers a name that is taken
|-- ClusterLost            the workers of a run are gone; finished work is stored
`-- InvalidCell            a cell of the matrix has no valid number; the other cells continue
    |-- CodeRaised         an attack, a defense or a method raised an exception; the next run tries again
    |-- BadOutput          an attack did not return a batch of images, or a defense a usable model
    |   `-- WroteInto      an attack or a defense changed what it was given to read
    |-- NoTarget           a targeted attack on a data set where a query has no disjoint target
    |-- ThreatViolation    an adversarial image is outside the budget
    `-- TrainingDiverged   the training loss is no longer finite
"""


class HashbenchError(Exception):
    """Any error that hashbench explains in one line.

    Attributes:
        on_command_line: the line with options of the command line; set where the error names arguments of Python.

    >>> import hashbench
    >>> try:
    ...     hashbench.Threat(eps=8.0)
    ... except hashbench.HashbenchError as error:
    ...     print(error)
    eps=8 is outside [0, 1]; it is in pixel units of [0, 1], write 8/255, not 8
    """

    on_command_line = ""


class UsageError(HashbenchError):
    """A request that can't be carried out."""


class UnknownName(UsageError):
    """A name that no entry of a registry has."""


class BadParameter(UsageError):
    """An unknown parameter, or an invalid value of a parameter."""


class BadInput(UsageError):
    """Arrays or files that don't have the expected form."""


class MissingData(UsageError):
    """A data set or weights whose files are missing."""


class StoreUnusable(UsageError):
    """A store or an output folder that can't be read or written."""


class PluginError(UsageError):
    """A plugin that can't be loaded, or that registers a name that is taken."""


class ClusterLost(HashbenchError):
    """A scheduler or workers that can no longer be reached."""


class InvalidCell(HashbenchError):
    """A cell that ended without a valid number."""


class CodeRaised(InvalidCell):
    """An attack, a defense or a method that raised an exception."""


class BadOutput(InvalidCell):
    """An attack that did not return a batch of images, or a defense that did not return a usable model."""


class WroteInto(BadOutput):
    """An attack or a defense that changed what it was given to read, and what other rows would read too."""


class NoTarget(InvalidCell):
    """A query for which the database has no label set disjoint from its own."""


class ThreatViolation(InvalidCell):
    """An adversarial image outside the budget."""


class TrainingDiverged(InvalidCell):
    """A training whose loss is no longer finite."""
