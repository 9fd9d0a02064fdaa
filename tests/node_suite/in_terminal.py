"""in_terminal.py COLUMNS ROWS NEW-COLUMNS NEW-ROWS COMMAND...

Runs a command in a terminal, which changes its size when the command has written a line, and copies what it writes."""

import fcntl
import os
import pty
import struct
import sys
import termios


def main():
    columns, rows, new_columns, new_rows = map(int, sys.argv[1:5])
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execvp(sys.argv[5], sys.argv[5:])
    output = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # a terminal without another end
            part = b""
        if not part:
            break
        if b"\n" not in output and b"\n" in part:
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", new_rows, new_columns, 0, 0))
        output += part
    sys.stdout.buffer.write(output)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


main()
