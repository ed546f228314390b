#!/usr/bin/env python3
"""One run of several machines, each a network namespace: two servers, three agents, a coordinator.

One agent loses packets, one reaches the coordinator by a relay that delays both directions alike, and the clock of one is
wrong. Then an agent is killed, a link is cut and healed, and the coordinator is killed.

Usage: machines.py FOLDER, with the programs smtpmock and smtpload in it. Needs root, ip and nft; prints a line that begins
with SKIPPED where it has none.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PREFIX = f"sl{os.getpid() % 10000}"
HOSTS = {"coordinator": 1, "sink1": 2, "sink2": 3, "a": 11, "b": 12, "c": 13}
# How far the clock of one agent is off, and how long the relay takes in each direction.
WRONG_MS = 7000
RELAY_S = 0.02
# The bound of the start skew, besides the errors of the clocks.
SKEW_MS = 5.0


def ip(name):
    return f"10.231.77.{HOSTS[name]}"


def run(*command, **kwargs):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, **kwargs).stdout


class World:
    """The namespaces; all that runs in them ends with it."""

    def __init__(self, programs):
        self.programs = os.path.abspath(programs)
        self.folder = tempfile.mkdtemp()
        self.children = []

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def build(self):
        run("ip", "netns", "add", f"{PREFIX}hub")
        run("ip", "-n", f"{PREFIX}hub", "link", "add", "br0", "type", "bridge")
        run("ip", "-n", f"{PREFIX}hub", "link", "set", "br0", "up")
        for name in HOSTS:
            space = PREFIX + name
            run("ip", "netns", "add", space)
            run("ip", "-n", space, "link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", f"{PREFIX}hub")
            run("ip", "-n", space, "addr", "add", f"{ip(name)}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                run("ip", "-n", space, "link", "set", "dev", device, "up")
            run("ip", "-n", f"{PREFIX}hub", "link", "set", "dev", name, "master", "br0", "up")

    def __exit__(self, *_):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
        for name in [*HOSTS, "hub"]:
            subprocess.run(["ip", "netns", "del", PREFIX + name], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def link(self, name, state):
        run("ip", "-n", f"{PREFIX}hub", "link", "set", "dev", name, state)

    def start(self, name, *command, env=None):
        error = open(os.path.join(self.folder, f"{name}.err"), "w+")
        child = subprocess.Popen(
            ["ip", "netns", "exec", PREFIX + name, *command],
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=error,
            env={**os.environ, "SMTPLOAD_TOKEN": "secret", **(env or {})},
        )
        child.errors = error.name
        self.children.append(child)
        return child

    def program(self, name, program, *args, env=None):
        return self.start(name, os.path.join(self.programs, program), *args, env=env)

    def received(self):
        """The messages that both servers have accepted."""
        fetch = "import sys,urllib.request;sys.stdout.write(urllib.request.urlopen(sys.argv[1],timeout=5).read().decode())"
        total = 0
        for sink in ("sink1", "sink2"):
            text = run("ip", "netns", "exec", f"{PREFIX}coordinator", sys.executable, "-c", fetch, f"http://{ip(sink)}:8025/v1/report")
            total += json.loads(text)["metrics"]["messages"]
        return total

    def serve(self, *args):
        sinks = [f"--target={ip(sink)}:2525" for sink in ("sink1", "sink2")]
        reports = [f"--sink-report=http://{ip(sink)}:8025" for sink in ("sink1", "sink2")]
        return self.program(
            "coordinator", "smtpload", "serve", *sinks, *reports, "--listen=0.0.0.0:7000", "--agents=3", "--seed=11",
            "--late-after=60s", "--report-json=run.json", *args,
        )

    def agents(self, case):
        url = f"http://{ip('coordinator')}:7000"
        report = lambda name: f"--report-json={case}-{name}.json"
        return {
            "a": self.program("a", "smtpload", "agent", url, "--name=a", report("a")),
            "b": self.program("b", "smtpload", "agent", "http://127.0.0.1:7001", "--name=b", report("b")),
            "c": self.program("c", "smtpload", "agent", url, "--name=c", report("c"),
                              env={"SMTPLOAD_TEST_CLOCK_OFFSET_MS": str(WRONG_MS)}),
        }

    def report(self, name="run.json"):
        with open(os.path.join(self.folder, name)) as file:
            return json.load(file)


def lines(child):
    with open(child.errors) as file:
        return file.read()


def wait_for(child, text, patience=60):
    for _ in range(patience * 20):
        if text in lines(child):
            return
        if child.poll() is not None and text not in lines(child):
            break
        time.sleep(0.05)
    raise AssertionError(f"no `{text}` in: {lines(child)}")


def ended(child, code, patience=120):
    found = child.wait(timeout=patience)
    assert found == code, f"code {found} instead of {code}: {lines(child)}"


def check(holds, what):
    if not holds:
        raise AssertionError(what)


def without_kills(world):
    before = world.received()
    serve = world.serve("--rate=400/s", "--arrivals=poisson", "--duration=6s")
    wait_for(serve, "waits for")
    for agent in world.agents("clean").values():
        ended(agent, 0)
    ended(serve, 0)
    report, received = world.report(), world.received() - before
    accepted = report["accounting"]["measured"]["accepted"]
    delivered = report["delivered"]
    check(accepted == received == delivered["at_least"] == delivered["at_most"], f"{accepted}, {received}, {delivered}")
    check(report["sinks"]["received"] == received, report["sinks"])
    # All clocks are one in truth, but for what was added to the third.
    starts, errors = [], []
    for row in report["agents"]:
        true = WRONG_MS if row["name"] == "c" else 0
        wrong = row["clock_offset_ms"] - true
        check(abs(wrong) <= row["clock_uncertainty_ms"], f"{row}")
        starts.append(row["started_late_ms"] + wrong)
        errors.append(row["clock_uncertainty_ms"])
    skew = max(starts) - min(starts)
    # The relay delays both directions alike: the round trips have no asymmetry to speak of.
    check(skew < SKEW_MS, f"start skew {skew} ms: {report['agents']}")
    merged = os.path.join(world.folder, "merged.json")
    parts = [os.path.join(world.folder, f"clean-{name}.json") for name in "abc"]
    run(os.path.join(world.programs, "smtpload"), "merge", "--quiet", "--report-json", merged, *parts)
    merged = world.report("merged.json")
    for field in ("latency", "accounting"):
        check(merged[field] == report[field], f"{field} of the coordinator and of the merged parts")
    print(f"without kills: {accepted} messages on both sides; start skew {skew:.3f} ms, bounds of the clocks' errors "
          + ", ".join(f"{error:.3f} ms" for error in errors))


def with_kills(world):
    before = world.received()
    serve = world.serve("--rate=300/s", "--duration=14s", "--give-up-after=never", "--grace=10s")
    wait_for(serve, "waits for")
    agents = world.agents("kills")
    wait_for(serve, " 3 s ")
    agents["a"].kill()
    world.link("c", "down")
    time.sleep(7)
    world.link("c", "up")
    ended(agents["b"], 0)
    ended(agents["c"], 0)
    ended(serve, 1)
    report, received = world.report(), world.received() - before
    lost = [row["name"] for row in report["agents"] if "lost" in row]
    delivered = report["delivered"]
    check(lost == ["a"], f"lost: {lost}: {lines(serve)}")
    check("agent c is late" in lines(serve) and "agent c is back" in lines(serve), lines(serve))
    check(delivered["at_least"] <= received <= delivered["at_most"], f"{received} of {delivered}")
    check(report["sinks"]["too_few"] == report["sinks"]["too_many"] == 0, report["sinks"])
    print(f"an agent killed, a link cut for 7 s: {received} messages received, {delivered['at_least']} to "
          f"{delivered['at_most']} by the agents")


def without_coordinator(world):
    before = world.received()
    serve = world.serve("--rate=300/s", "--duration=10m")
    wait_for(serve, "waits for")
    agents = world.agents("alone")
    wait_for(serve, " 3 s ")
    killed = time.monotonic()
    serve.kill()
    for agent in agents.values():
        wait_for(agent, "starts no more messages")
    took = time.monotonic() - killed
    check(took < 13, f"the agents stopped after {took} s")
    for agent in agents.values():
        # `ip netns exec` has become the program. It tries to deliver its report until a signal.
        agent.send_signal(signal.SIGINT)
        ended(agent, 1)
    received = world.received() - before
    accepted = sum(world.report(f"alone-{name}.json")["accounting"]["measured"]["accepted"] for name in "abc")
    check(accepted == received, f"{accepted} of {received}")
    print(f"the coordinator killed: the agents stopped within {took:.1f} s, and their files have all {accepted} messages")


RELAY = """
import asyncio, sys
host, port, delay = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            asyncio.get_running_loop().call_later(delay, writer.write, data)
        asyncio.get_running_loop().call_later(2 * delay, writer.close)
    except OSError:
        writer.close()
async def meet(reader, writer):
    try:
        there, back = await asyncio.open_connection(host, port)
    except OSError:
        return writer.close()
    await asyncio.gather(copy(reader, back), copy(there, writer))
async def main():
    server = await asyncio.start_server(meet, "127.0.0.1", 7001)
    await server.serve_forever()
asyncio.run(main())
"""


def main():
    programs = sys.argv[1]
    missing = [tool for tool in ("ip", "nft") if not shutil.which(tool)]
    if os.geteuid() != 0 or missing:
        print(f"SKIPPED: network namespaces need root, ip and nft (missing: {', '.join(missing) or 'root'})")
        return
    try:
        run("ip", "netns", "add", f"{PREFIX}try")
        run("ip", "netns", "del", f"{PREFIX}try")
    except subprocess.CalledProcessError as error:
        print(f"SKIPPED: network namespaces are not allowed here: {error.stderr.strip()}")
        return
    with World(programs) as world:
        for sink in ("sink1", "sink2"):
            world.program(sink, "smtpmock", "--host=0.0.0.0", "--port=2525", "--http=0.0.0.0:8025", "--quiet")
        # One packet of a hundred of this agent is lost, in each direction.
        rules = "add table inet loss; " + "".join(
            f"add chain inet loss {hook} {{ type filter hook {hook} priority 0; }}; "
            f"add rule inet loss {hook} meta l4proto tcp numgen random mod 100 < 1 drop; "
            for hook in ("input", "output")
        )
        loses = subprocess.run(["ip", "netns", "exec", f"{PREFIX}a", "nft", rules], capture_output=True, text=True)
        if loses.returncode != 0:
            print(f"SKIPPED: loss by nftables: {loses.stderr.strip().splitlines()[0]}")
        world.start("b", sys.executable, "-c", RELAY, ip("coordinator"), "7000", str(RELAY_S))
        for _ in range(200):
            try:
                world.received()
                break
            except (subprocess.CalledProcessError, ValueError):
                time.sleep(0.05)
        for case in (without_kills, with_kills, without_coordinator):
            case(world)


main()
