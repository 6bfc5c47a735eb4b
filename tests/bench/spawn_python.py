"""Python's subprocess, as a peer: spawn_python.py TINY MIB"""
import statistics
import subprocess
import sys
import time


def spawn(program):
    start = time.monotonic_ns()
    subprocess.run([program], check=True)
    return time.monotonic_ns() - start


tiny = sys.argv[1]
held = b"\1" * (int(sys.argv[2]) << 20)
print("ready", flush=True)
for line in sys.stdin:
    print(int(statistics.median(spawn(tiny) for _ in range(int(line)))), flush=True)
