"""Python's subprocess: communicate_python.py MIB, measured as `communicate WAY MIB` is."""
import subprocess
import sys
import time


def peak_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


data = bytes(range(256)) * (int(sys.argv[1]) << 12)
start = time.monotonic_ns()
cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
output, _ = cat.communicate(data)
if len(output) != len(data) or cat.returncode != 0:
    sys.exit("subprocess: unexpected output")
print(time.monotonic_ns() - start, peak_kib())
