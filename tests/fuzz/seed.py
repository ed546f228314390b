#!/usr/bin/env python3
"""Fills corpus/ with the dialogues of tests/transcripts, and with the examples of the documentation:
python3 tests/fuzz/seed.py"""

import base64
import hashlib
import json
import pathlib
import re
import ssl
import struct

HERE = pathlib.Path(__file__).resolve().parent
LONGEST = 16 * 1024  # longer inputs make a fuzzer slow and find nothing more


def sent(step):
    if "send_b64" in step:
        data = base64.b64decode(step["send_b64"])
    else:
        data = step.get("send", "").encode("utf-8", "surrogateescape")
    repeat = step.get("send_repeat")
    if repeat:
        data += repeat["unit"].encode() * repeat["count"]
    return data + step.get("send_suffix", "").encode()


def dialogues():
    for path in sorted((HERE.parent / "transcripts").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").split("\n"):
            if not line:
                continue
            yield b"".join(sent(step) for step in json.loads(line)["steps"])


def exchanges():
    """AUTH by each mechanism, right where its secret is known."""
    def encoded(text):
        return base64.b64encode(text.encode()).decode()

    for user in ("ann", "bob", "carol"):
        plain, secret = encoded(f"\0{user}\0secret"), encoded("secret")
        yield f"AUTH PLAIN {plain}\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n".encode()
        yield f"AUTH PLAIN\r\n{plain}\r\nAUTH PLAIN =\r\n".encode()
        yield f"AUTH LOGIN\r\n{encoded(user)}\r\n{secret}\r\nRSET\r\n".encode()
        yield f"AUTH LOGIN {encoded(user)}\r\n*\r\nNOOP\r\n".encode()
        yield f"AUTH CRAM-MD5\r\n{encoded(user + ' ' + '0' * 32)}\r\n".encode()
        for hashed in ("1", "256"):
            first = encoded(f"n,,n={user},r=abc")
            yield f"AUTH SCRAM-SHA-{hashed} {first}\r\n{encoded('c=biws,r=abc,p=AAAA')}\r\n".encode()
        yield f"AUTH XOAUTH2 {encoded(f'user={user}' + chr(1) + 'auth=Bearer t' + chr(1) * 2)}\r\n\r\n".encode()
        bearer = encoded(f"n,a={user}," + chr(1) + "auth=Bearer t" + chr(1) * 2)
        yield f"AUTH OAUTHBEARER {bearer}\r\nAQ==\r\n".encode()
        yield f"AUTH ANONYMOUS {encoded(user)}\r\n".encode()
    yield b"AUTH PLAIN " + b"A" * 12290 + b"\r\nNOOP\r\n"
    yield b"AUTH PLAIN\r\n" + b"A" * 12284 + b"\r\nNOOP\r\n"


def examples(document):
    """Everything between backticks: rules, delays, expectations, and pieces of them."""
    return re.findall(r"`([^`\n]+)`", (HERE.parents[1] / document).read_text(encoding="utf-8"))


def proxy_headers():
    for client in (b"TCP4 192.0.2.1 192.0.2.2 1 65535", b"TCP6 2001:db8::1 ::1 1 2", b"UNKNOWN", b"UNKNOWN x"):
        yield b"PROXY " + client + b"\r\n"
    tlvs = b"\x03\0\x04abcd\x02\0\x01a\x04\0\0"
    for family, length in ((0x00, 0), (0x11, 12), (0x12, 12), (0x21, 36), (0x31, 216)):
        for command in (0x20, 0x21):
            for block in (b"\x01" * length, b"\x01" * length + tlvs):
                yield b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", command, family, len(block)) + block


def hellos():
    """Hellos of clients of TLS: by version, with a name and without, in one record and in many."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for name in (None, "localhost", "a" * 60 + ".example"):
            context = ssl.create_default_context()
            context.check_hostname = False
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(["smtp"])
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = context.wrap_bio(incoming, outgoing, server_hostname=name)
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                pass
            hello = outgoing.read()
            yield hello
            yield hello[:5 + len(hello) // 2]
            for size in (1, 100):
                pieces = [hello[at:at + size] for at in range(5, len(hello), size)]
                yield b"".join(b"\x16\x03\x01" + struct.pack(">H", len(piece)) + piece for piece in pieces)
    yield b"EHLO a.example\r\n"
    yield b"\x15\x03\x03\0\2\2\x28"


def write(target, data):
    if 0 < len(data) <= LONGEST:
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def main():
    for number, dialogue in enumerate(dialogues()):
        choice = number % 256
        write("session", bytes([choice, number % 40]) + dialogue)
        write("session", bytes([choice, 128 + number % 40]) + dialogue.replace(b"EHLO", b"LHLO").replace(b"HELO", b"LHLO"))
        for line in dialogue.splitlines(keepends=True):
            write("command", line)
        _, found, data = dialogue.partition(b"DATA\r\n")
        if found:
            write("data_scanner", bytes([number % 40]) + data)
    # Turns of `chunks`: a kind, and the size of a chunk with its octets.
    for turns in (b"\0\1\5\4hi\r\n\6\2ho", b"\0\1\6\0", b"\0\1\5\3.\r\n\2\1\6\0\3\5\1x\0\5\0\6\0"):
        for limit, cut in ((0, 0), (4, 2), (255, 99)):
            write("chunks", bytes([limit, cut]) + turns)
    for header in proxy_headers():
        write("proxy", header + b"EHLO a.example\r\n")
    for hello in hellos():
        write("hello", hello)
    write("proxy", b"NAME=mx.example ADDR=IPV6:2001:db8::1 PORT=25 PROTO=ESMTP HELO=a+2Bb LOGIN=[UNAVAILABLE]")
    for number, exchange in enumerate(exchanges()):
        for choice in (0, 1, 2, 4 + 8, 63, 64):
            write("authentication", bytes([choice, number]) + exchange)
    for example in examples("src/smtp/rules/RULES.md"):
        write("rule", example.encode())
        write("rule", f"rcpt {example} silent".encode())
        write("delay", example.encode())
    for example in examples("README.md"):
        write("expectation", example.encode())
    for example in examples("src/report/SCHEMA.md"):
        write("expectation", f"{example} == 1".encode())
        write("expectation", f"p99({example}) < 5ms".encode())
    for number, value in enumerate(("null", "[]", "{}", "1e9", '"2026-11-22T22:45:24Z"', '[{"at_s": 7}]')):
        write("report", bytes([number, 0, 0, 4]) + value.encode())
    for counts in (b"", b"\x02", b"\x02\x04\x01\x06", b"\xff" * 9):
        fields = struct.pack(">IIIQQd", len(counts), 0, 3, 1, 1 << 20, 1.0)
        write("histogram", fields + counts)
    for target in sorted(folder.name for folder in (HERE / "corpus").iterdir()):
        count = len(list((HERE / "corpus" / target).iterdir()))
        print(f"corpus/{target}: {count} inputs")


if __name__ == "__main__":
    main()
