#!/usr/bin/env python3
"""A guest on a real tap: holds the tap's descriptor (number in $TAPFD) and
passes frames between it and a tap of its own, eth0, in this namespace, whose
kernel is then the guest's. Ends when standard input does."""
import fcntl
import os
import select
import struct
import subprocess
import sys

mac = sys.argv[2]
host = int(os.environ["TAPFD"])
guest = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(guest, 0x400454ca, struct.pack("16sH22x", b"eth0", 0x0002 | 0x1000))
subprocess.check_call(["ip", "link", "set", "eth0", "address", mac])
print("ready", flush=True)
while True:
    ready, _, _ = select.select([host, guest, 0], [], [])
    if 0 in ready and not os.read(0, 1):
        break
    for a, b in ((host, guest), (guest, host)):
        if a in ready:
            try:
                os.write(b, os.read(a, 65536))
            except OSError:
                pass
