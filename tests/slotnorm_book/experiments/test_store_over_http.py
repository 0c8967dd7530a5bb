"""A store behind a real HTTP server: its runs are read, 404 is absent, anything else is an error with the address."""

import functools
import socket
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import fsspec
import pytest

from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import RunStore
from slotnorm_book.experiments.store_files import UnreadableError
from tests.helpers import tiny


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, or answers everything with the status that the test wants."""

    status = 200

    def send_head(self):
        if self.status != 200:
            return self.send_error(self.status)
        return super().send_head()

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("http")
    recipe = tiny.recipe(tiny.make_data(folder / "data"))
    collect(recipe, RunStore(folder / "store"), "train", tiny.QUIET)
    return recipe, folder / "store"


@pytest.fixture
def address(made, monkeypatch):
    monkeypatch.setattr(Handler, "status", 200)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(made[1])))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    fsspec.get_filesystem_class("http").clear_instance_cache()


def test_runs_are_read_as_from_a_folder(made, address):
    recipe, folder = made
    over_http, local = (collect(recipe, RunStore(root)) for root in (f"{address}/", folder))
    assert len(over_http.runs) == 2
    assert over_http.scenes.equals(local.scenes)


def test_what_the_server_does_not_have_is_absent(made, address, monkeypatch):
    monkeypatch.setattr(Handler, "status", 404)
    assert RunStore(f"{address}/runs").find(made[0].runs()[0]) is None
    assert collect(made[0], RunStore(f"{address}/runs")).runs == ()


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_any_other_answer_is_an_error_that_names_the_address(made, address, monkeypatch, status):
    monkeypatch.setattr(Handler, "status", status)
    for read in (lambda store: store.find(made[0].runs()[0]), lambda store: collect(made[0], store)):
        with pytest.raises(UnreadableError, match=f"^{address}/runs.*: cannot be read: .*{status}"):
            read(RunStore(f"{address}/runs"))


def test_a_dead_server_is_an_error_that_names_the_address(made):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UnreadableError, match=f"^{address}/runs.*: cannot be read: ClientConnector"):
            collect(made[0], RunStore(f"{address}/runs"))
