"""The errors a user can cause or meet; each message is one sentence to read."""


class GLMedSAError(Exception):
    """Root of all errors of this package; the message is meant for the user."""


class AdapterMismatchError(GLMedSAError, ValueError):
    """An adapter does not belong to the base model or encoder it is put on."""


class CheckpointError(GLMedSAError, ValueError):
    """A weights file is unreadable, unsafe to read or not what it should be."""


class DeviceError(GLMedSAError, RuntimeError):
    """The computing device asked for is not there or has too little memory."""


class DownloadError(GLMedSAError, OSError):
    """A file could not be fetched, or is not the one that was expected."""


class ImageFormatError(GLMedSAError, ValueError):
    """An array or file cannot be understood as one two-dimensional image."""


class MissingPackageError(GLMedSAError, ImportError):
    """A task needs a package that is not installed with the rest."""


class MeasurementError(GLMedSAError, ValueError):
    """Something cannot be measured, or the scale given for it makes no sense."""


class ModelNotFoundError(GLMedSAError, LookupError):
    """No model of that name is in the registry and no file has that path."""


class OutputError(GLMedSAError, OSError):
    """A result cannot be written where it should go."""


class ProjectError(GLMedSAError, ValueError):
    """An annotation project is missing, damaged, in use, or asked for nonsense."""


class ProjectVersionError(ProjectError):
    """A project was written by a newer version of this program."""


class PromptError(GLMedSAError, ValueError):
    """Clicks, box or mask prompt are malformed or outside the image."""


class RegistryError(GLMedSAError, ValueError):
    """The model registry holds something broken or contradictory."""


class TrainingError(GLMedSAError, RuntimeError):
    """A training run cannot start, or ended before its time."""


class Cancelled(Exception):
    """Work was called off because nobody waits for its result any more."""
