"""A server for the requests of apps. Each path is one behavior: `/NAME` calls the method NAME."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def __getattr__(self, name: str) -> object:
        # `http.server` calls `do_GET` for GET, and so on.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        self.close_connection = True
        getattr(self, self.path.partition("?")[0][1:])()

    def echo(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.answer(f"{self.command} {self.path} {self.headers.get('x-case')} {body.decode()}")

    def length(self) -> None:
        self.answer(str(len(self.rfile.read(int(self.headers["content-length"])))))

    def together(self) -> None:
        self.server.three.wait(60)
        self.answer("together")

    def stream(self) -> None:
        """Sends each chunk back when it has come."""
        self._begin("transfer-encoding", "chunked")
        while size := int(self.rfile.readline() or b"0", 16):
            data = self.rfile.read(size + 2)
            self.wfile.write(b"%x\r\n%s" % (size, data))
        self.wfile.write(b"0\r\n\r\n")

    def silent(self) -> None:
        self.server.closing.wait()

    unread = silent

    def half(self) -> None:
        self._begin("content-length", "100")
        self.wfile.write(b"half")
        self.server.closing.wait()

    def broken(self) -> None:
        self._begin("content-length", "100")
        self.wfile.write(b"half")

    def answer(self, text: str) -> None:
        self._begin("content-length", str(len(text)))
        self.wfile.write(text.encode())

    def _begin(self, name: str, value: str) -> None:
        self.send_response(200)
        self.send_header("x-answer", "yes")
        self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Prints nothing."""


class Server(ThreadingHTTPServer):
    """The server. Its address is in `url`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.three = threading.Barrier(3)
        self.closing = threading.Event()


@contextmanager
def running() -> Iterator[Server]:
    """Runs a server on a free port."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
