"""A Postfix of its own, in the empty FOLDER and with these SETTINGS: takes one mail to all RECIPIENTS, and goes on until its log
has a status of each. Prints the log. FOLDER SETTINGS RECIPIENT..."""

import os
import shutil
import smtplib
import socket
import subprocess
import sys
import time

top, settings, recipients = sys.argv[1], sys.argv[2], sys.argv[3:]
for name in ("etc", "queue", "data"):
    os.mkdir(f"{top}/{name}")
os.chmod(top, 0o755)
shutil.chown(f"{top}/data", "postfix")
with open(f"{top}/etc/main.cf", "w") as main:
    print(f"""compatibility_level = 3.6
queue_directory = {top}/queue
data_directory = {top}/data
inet_interfaces = loopback-only
myhostname = vm.example
mydestination =
smtpd_relay_restrictions = permit_mynetworks, reject
maillog_file = {top}/log
maillog_file_prefixes = {top}
{settings}""", file=main)
with open(f"{top}/etc/master.cf", "w") as master:
    for line in ("mock unix n - n - - smtpd", "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr",
                 "rewrite unix - - n - - trivial-rewrite", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce",
                 "trace unix - - n - 0 bounce", "smtp unix - - n - - smtp", "lmtp unix - - n - - lmtp",
                 "smtps unix - - n - - smtp -o smtp_tls_wrappermode=yes",
                 "tlsmgr unix - - n 1000 1 tlsmgr",
                 "error unix - - n - - error", "retry unix - - n - - error", "proxymap unix - - n - - proxymap",
                 "anvil unix - - n - 1 anvil", "scache unix - - n - 1 scache", "postlog unix-dgram n - n - 1 postlogd"):
        print(line, file=master)


class Local(smtplib.SMTP):
    def _get_socket(self, host, port, timeout):
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(30)
        stream.connect(host)
        return stream


postfix = ["postfix", "-c", f"{top}/etc"]
subprocess.run(postfix + ["start"], check=True, timeout=60, capture_output=True)
try:
    with Local(f"{top}/queue/public/mock", 25, local_hostname="vm.example") as client:
        client.ehlo()
        client.sendmail("ann@example.com", recipients, b"Subject: hi\r\n\r\nhi\r\n", ["RET=HDRS", "ENVID=a+2Bb"],
                        ["NOTIFY=FAILURE", "ORCPT=rfc822;orig@x.example"])
    deadline = time.monotonic() + 60
    while open(f"{top}/log").read().count("status=") < len(recipients):
        assert time.monotonic() < deadline, open(f"{top}/log").read()
        time.sleep(0.05)
    print(open(f"{top}/log").read())
finally:
    subprocess.run(postfix + ["stop"], timeout=60, capture_output=True)
