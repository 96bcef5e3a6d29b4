"""What can go wrong at this package's door.

VetError                 a subject could not be vetted; what was not looked at never counts as clean
├── SubjectError         the subject can't be read or does not exist; its text names what does
├── RegistryError        a registry did not answer, or not what the protocol says
├── IntegrityError       bytes are other than the ones that the registry names
├── UnpackError          an archive is damaged, or asks for what unpacking never does
└── DossierError         evidence can't be written or read
"""

from __future__ import annotations

from mohist.base import ExitCode, MohistError


class VetError(MohistError):
    """A step could not be done."""

    exit_code = ExitCode.FAILED


class SubjectError(VetError):
    """No such subject."""

    exit_code = ExitCode.USAGE


class RegistryError(VetError):
    """A registry can't be asked."""


class IntegrityError(VetError):
    """What was downloaded is not what the registry names."""


class UnpackError(VetError):
    """An archive was refused."""


class DossierError(VetError):
    """Evidence could not be kept or read back."""

    audience = "operator"
