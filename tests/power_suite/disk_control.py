#!/usr/bin/env python3
"""Tells the control socket of disk_server.py each of its commands, and prints the answers.

usage: disk_control.py SOCKET COMMAND…
"""

import socket
import sys

connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
answers = connection.makefile()
for command in sys.argv[2:]:
    connection.sendall(command.encode() + b"\n")
    print(answers.readline().strip())
