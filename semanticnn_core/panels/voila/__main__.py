"""`python -m semanticnn_core.panels.voila NOTEBOOK [OPTIONS]`: Voilà with the page in templates/ and its options."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from semanticnn_core.panels.kernel import environment

OPTIONS = (
    "--template=playground",
    "--strip_sources=True",
    "--TagRemovePreprocessor.enabled=True",
    "--TagRemovePreprocessor.remove_cell_tags=solution",  # neither run nor shown
    "--TagRemovePreprocessor.remove_cell_tags=onward",  # links to files that are not served
    # of JupyterLab's extensions only widgets are needed; these complain that Voilà is not JupyterLab
    *(
        f"--VoilaConfiguration.extension_denylist={name}"
        for name in ("jupyterlab-jupytext", "jupyterlab_pygments", "@voila-dashboards/jupyterlab-preview")
    ),
)


def main(arguments: list[str]) -> None:
    """Serve a notebook until interrupted; `arguments` are Voilà's, and win over those given here."""
    try:
        from voila.app import Voila
    except ImportError:
        sys.exit("Voilà is missing: pip install -c constraints.txt -e '.[app]'")
    known = os.environ.get("JUPYTER_PATH")
    # Voilà finds templates below the folders of this variable, as voila/templates/NAME
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *([known] if known else [])])
    with TemporaryDirectory() as folder:
        os.environ.update(environment(), IPYTHONDIR=folder)  # kernels inherit it
        Voila.launch_instance([*OPTIONS, *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
