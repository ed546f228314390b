#!/usr/bin/env python3
"""Client CPU per message of smtpload and of Postfix's smtp-source, side by side.

usage: compare.py [ROUNDS]      (default 5; run it from anywhere in the repository)

Both drive the same sink, `null_sink` from this package's examples, with the same 16
sessions, message sizes and counts. What is compared is the client's own processor time,
user and system, as the kernel accounts it for the process. Rounds are interleaved and the
ratio is taken per round, so that a drift of the machine's speed cancels.

Needs cargo, and smtp-source: installed, or else Debian's `postfix` package is fetched with
`apt-get download` and unpacked under the temporary folder, never installed.
The environment variable SINK may name another sink's program; it is given the port.
"""
import glob, os, resource, shutil, socket, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.path.join(tempfile.gettempdir(), "smtpload-compare")
SESSIONS = 16
# smtp-source counts the body without its own header and writes lines of its own; sizes
# agree to the byte in the body, and smtpload's header is the longer one.
SHAPES = [  # name, body bytes, session reused, messages
    ("1 KiB reused", 1024, True, 40000),
    ("1 KiB per session", 1024, False, 10000),
    ("64 KiB reused", 65536, True, 10000),
]


def build():
    cargo = ["cargo", "build", "--release", "-q", "-p", "smtpload", "--bin", "smtpload", "--example", "null_sink"]
    subprocess.run(cargo, cwd=HERE, check=True)
    meta = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=HERE, check=True, capture_output=True)
    import json
    target = json.loads(meta.stdout)["target_directory"]
    sink = os.environ.get("SINK", os.path.join(target, "release/examples/null_sink"))
    return os.path.join(target, "release/smtpload"), sink


def smtp_source():
    env, found = dict(os.environ), shutil.which("smtp-source")
    if found:
        return found, env
    os.makedirs(WORK, exist_ok=True)
    root = os.path.join(WORK, "postfix")
    if not os.path.exists(os.path.join(root, "usr/sbin/smtp-source")):
        subprocess.run(["apt-get", "download", "-qq", "postfix"], cwd=WORK, check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["dpkg", "-x", glob.glob(WORK + "/postfix_*.deb")[0], root], check=True)
    env["LD_LIBRARY_PATH"] = os.path.join(root, "usr/lib/postfix")
    return os.path.join(root, "usr/sbin/smtp-source"), env


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def client_cpu(argv, env):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(sink, argv, port, env):
    server = subprocess.Popen([sink, str(port)])
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                break
            except OSError:
                time.sleep(0.02)
        return client_cpu([part.replace("PORT", str(port)) for part in argv], env)
    finally:
        # The sink is still running, so its time is not among the children's yet.
        server.kill()
        server.wait()


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    smtpload, sink = build()
    source, env = smtp_source()
    for name, size, reuse, count in SHAPES:
        # The longest command line of either: the same addresses and HELO names.
        clients = {
            "smtp-source": [source, *(["-d"] if reuse else []), "-s", str(SESSIONS), "-l", str(size), "-m", str(count),
                            "-f", "from@example.com", "-t", "to@example.com", "-M", "client.example.com", "127.0.0.1:PORT"],
            "smtpload": [smtpload, "127.0.0.1:PORT", "--quiet", "-c", str(SESSIONS), "--count", str(count), "--size", str(size),
                         "--from", "from@example.com", "--to", "to@example.com", "--helo", "client.example.com",
                         *([] if reuse else ["--messages-per-session", "1"])],
        }
        seen = {who: [] for who in clients}
        for _ in range(rounds):
            for who, argv in clients.items():
                seen[who].append(measure(sink, argv, free_port(), env) / count * 1e6)
        ratio = statistics.median(a / b for a, b in zip(seen["smtpload"], seen["smtp-source"]))
        figures = "  ".join(f"{who} {statistics.median(all):6.1f} us" for who, all in seen.items())
        print(f"{name:18s} {figures}  smtpload/smtp-source {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
