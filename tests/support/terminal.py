"""Terminal: what a person sees and types, for tests of commands on a terminal."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios

from sandbox import RINGLOG, die_with_parent, until


class Terminal:
    """A person's terminal: what is typed and what stands there."""

    def __init__(self, rows: int = 40, columns: int = 100) -> None:
        self.near, self.far = pty.openpty()
        self.resize(rows, columns)
        self.modes = termios.tcgetattr(self.far)
        self.text = b""

    def resize(self, rows: int, columns: int) -> None:
        """As dragging the window's corner does."""
        fcntl.ioctl(self.far, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def start(self, environment: dict[str, str], *words: str) -> subprocess.Popen:
        """Starts `ringlog` as the terminal's foreground program."""
        def lead() -> None:
            die_with_parent()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        return subprocess.Popen([RINGLOG, *words], env={"TERM": "xterm"} | environment,
                                stdin=self.far, stdout=self.far, stderr=self.far,
                                start_new_session=True, preexec_fn=lead)

    def type(self, keys: bytes) -> None:
        """Presses keys."""
        os.write(self.near, keys)

    def _take(self) -> None:
        if select.select([self.near], [], [], 0.05)[0]:
            self.text += os.read(self.near, 65536)

    def expect(self, text: bytes) -> None:
        """Waits until this stands there, behind what was expected before."""
        self.until(text)

    def until(self, text: bytes) -> bytes:
        """The same; what stands before it."""
        def stands_there() -> bool:
            self._take()
            return text in self.text

        until(stands_there, f"{text!r} on the terminal, which has {self.text!r}")
        before, _, self.text = self.text.partition(text)
        return before

    def close(self) -> None:
        """Gives both ends back."""
        os.close(self.near)
        os.close(self.far)
