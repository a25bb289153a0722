"""A kernel's environment, the same whatever the caller's is."""

from pathlib import Path

import matplotlib


def environment() -> dict[str, str]:
    """Return variables under which a kernel draws its pictures and speaks UTF-8, by Python's and matplotlib's defaults.

    IPython's own folder is not among them: give the kernel an empty one, or the user's startup files and settings run.
    """
    return {
        "MATPLOTLIBRC": str(Path(matplotlib.get_data_path()) / "matplotlibrc"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONSTARTUP": "",
        "PYTHONUTF8": "1",
        "PYTHONWARNINGS": "",
    }
