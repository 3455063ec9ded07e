"""A way to a server that can be closed, cut in the middle, left hanging, or made slow."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress


def free_port() -> int:
    """Return a port of this machine that is free."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Proxy:
    """Passes bytes on between a port of its own and the server's."""

    def __init__(self, server: int | str) -> None:
        """Lead to a port of this machine, or to a Unix socket by its path."""
        self.server, self.port = server, free_port()
        self.cut_at = b""
        """Bytes of a request at which the way is closed; what was asked does not arrive."""
        self.lose_answer_to = b""
        """Bytes of a request whose answer is lost, once; what was asked is done."""
        self.hangs = False
        self.delay = 0.0
        """Seconds that each piece of a request takes."""
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._deaf: set[socket.socket] = set()
        self.up()

    def up(self) -> None:
        """Listen, and pass everything on."""
        self.cut_at, self.lose_answer_to, self.hangs, self.delay = b"", b"", False, 0.0
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Refuse every connection, and end those that are there."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # it wakes who waits in accept
            self._listener.close()
            self._listener = None
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._open.append(client)
            if self.hangs:
                continue
            try:
                server = self._reach()
            except OSError:  # it is down, and so are we to the one who asks
                client.close()
                continue
            self._open.append(server)
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _reach(self) -> socket.socket:
        if isinstance(self.server, int):
            return socket.create_connection(("127.0.0.1", self.server))
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.server)
        return server

    def _pass(self, one: socket.socket, other: socket.socket, asks: bool) -> None:
        with suppress(OSError):
            while piece := one.recv(65536):
                if asks and self.cut_at and self.cut_at in piece:
                    self.down()
                    return
                if asks and self.lose_answer_to and self.lose_answer_to in piece:
                    self.lose_answer_to = b""
                    self._deaf.add(one)
                if not asks and other in self._deaf:
                    break
                time.sleep(self.delay if asks else 0)
                other.sendall(piece)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
