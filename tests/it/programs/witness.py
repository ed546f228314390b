"""Sessions with pauses of random length, some of which give up on the final reply. Says nothing: what it did is
on the wire."""

import random
import socket
import sys
import threading
import time

HOST, PORT, SESSIONS, THREADS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), 4


def session(chance, gives_up):
    connection = socket.create_connection((HOST, PORT))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.recv(1000)
    sender = "slow" if gives_up else "fast"
    lines = [b"EHLO client.example", b"MAIL FROM:<%s@example.com>" % sender.encode(), b"RCPT TO:<b@example.com>", b"DATA"]
    for line in lines:
        time.sleep(chance.uniform(0.001, 0.02))
        connection.sendall(line + b"\r\n")
        connection.recv(1000)
    connection.sendall(b"Subject: x\r\n\r\ntext\r\n.\r\n")
    if gives_up:
        time.sleep(chance.uniform(0.01, 0.06))
    else:
        connection.recv(1000)
        connection.sendall(b"QUIT\r\n")
        connection.recv(1000)
    connection.close()


def run(number):
    chance = random.Random(number)
    for index in range(SESSIONS // THREADS):
        session(chance, index % 2 == 0)


threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
