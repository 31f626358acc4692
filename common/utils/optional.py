"""Optional libraries: imported where they are used, with the command that installs them when they are missing."""

from importlib import import_module
from types import ModuleType

__all__ = ["optional_import"]


def optional_import(module: str, extra: str) -> ModuleType:
    """Import an optional library or say how to get it.

    Args:
        module: dotted name, such as ``"captum.attr"``.
        extra: the extra of this distribution that installs it, such as ``"xai"``.

    Returns:
        The imported module.

    Raises:
        ImportError: if it is not installed, with the install command.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module.partition('.')[0]} is not installed, and this step needs it ({error}). "
            f'Install it in a checkout of Vitrine with: pip install -e ".[{extra}]"'
        ) from error
