"""JupyterLab and Voilà for the browser tests and the latency benchmark, on copies of the notebooks.

Settings, runtime files and logs are the servers' own: nothing in the repository changes, nobody's Jupyter settings are
read, and whatever a server or a kernel asks of another machine is refused and written down.
"""

import ast
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat

from semanticnn_core.runner.sources import find_sources, read_source

PATIENCE = 180.0
"""Seconds that anything may take on a busy machine; what should be fast is measured, not waited for."""
LAB = (
    "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port={port}",
    "--ServerApp.port_retries=0", "--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True",
)  # fmt: skip
VOILA = (
    "semanticnn_core.panels.voila", "--no-browser", "--Voila.ip=127.0.0.1", "--Voila.port={port}",
    "--Voila.port_retries=0", "--Voila.token={token}",
)  # fmt: skip


def notebook_names(*numbers: str) -> list[str]:
    """Return the names of those of the numbered notebooks that exist: "01" is 01_quantizer_intuition."""
    return [path.stem for path in find_sources() if path.stem[:2] in numbers]


def write_notebooks(folder: Path, panels_of: Sequence[str] = ()) -> Path:
    """Write the notebooks without outputs into a folder: what shows there later was run there.

    panels_of: numbers of those of which only the live panels are written, and what these need.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in find_sources():
        notebook = read_source(source)
        if source.stem[:2] in panels_of:
            notebook.cells = panel_cells(notebook.cells)
        nbformat.write(notebook, folder / f"{source.stem}.ipynb")
    return folder


def panel_cells(cells: Sequence[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return the code cells that show live panels, and those that bind a name which these use, directly or not.

    All others are executed by the tests of the notebooks, without a browser.
    """
    wanted, kept = {"interactive"}, []
    for cell in reversed([each for each in cells if each.cell_type == "code"]):
        nodes = list(ast.walk(ast.parse(cell.source)))
        read = {each.id for each in nodes if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
        bound = {each.id for each in nodes if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
        bound |= {(each.asname or each.name).partition(".")[0] for each in nodes if isinstance(each, ast.alias)}
        if "interactive" in read or bound & wanted:
            wanted |= read
            kept.insert(0, cell)
    return kept


@contextmanager
def overhearing() -> Iterator[tuple[dict[str, str], list[str]]]:
    """Yield an environment whose proxy refuses everything, and the list of what servers and kernels ask it for."""
    asked: list[str] = []

    class Refuse(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            asked.append(self.path)
            self.send_error(403, "the tests run offline")

        do_CONNECT = do_GET = do_HEAD = do_POST = refuse

        def log_message(self, *_: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    url, names = f"http://127.0.0.1:{proxy.server_port}", ("http_proxy", "https_proxy", "all_proxy")
    env = {name: url for name in names} | {name.upper(): url for name in names}
    try:
        yield env | dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost"), asked
    finally:
        proxy.shutdown()
        proxy.server_close()


@dataclass
class Server:
    """A running server: its address, which ends in a slash, its token, and when it was started."""

    url: str
    token: str
    started: float


@contextmanager
def serve(command: Sequence[str], folder: Path, private: Path, env: dict[str, str] | None = None) -> Iterator[Server]:
    """Run `python -m COMMAND` in a folder until the end of the block; {port} and {token} in it are filled in.

    Its settings, runtime files and log live under `private`, empty at first. A server that ends or does not listen
    within `PATIENCE` is a RuntimeError with the end of its log.
    """
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    own = {place: str(private / place.lower()) for place in places}
    news = private / "jupyter_config_dir/lab/user-settings/@jupyterlab/apputils-extension"
    news.mkdir(parents=True)  # as if a user had answered the question about news with no
    settings = {"fetchNews": "false", "checkForUpdates": False}
    (news / "notification.jupyterlab-settings").write_text(json.dumps(settings))
    port, token, log = _free_port(), os.urandom(8).hex(), private / "server.log"
    filled = [sys.executable, "-m", *(part.format(port=port, token=token) for part in command)]
    server = Server(f"http://127.0.0.1:{port}/", token, time.monotonic())
    with log.open("w") as output:
        process = subprocess.Popen(
            filled, cwd=folder, env=os.environ | own | (env or {}), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        while not _listening(port):
            if process.poll() is not None or time.monotonic() > server.started + PATIENCE:
                raise RuntimeError(f"{' '.join(filled)} does not listen:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()  # both servers end their kernels on the way out
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _listening(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0
