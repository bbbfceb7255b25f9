#!/usr/bin/python3
"""Runs a command in a machine with a kernel of its own that has CAN: two emulated controllers on one bus, and modules.

    vm.py [--timeout SECONDS] COMMAND [ARGUMENT...]

The machine (QEMU, without hardware acceleration) boots a Debian kernel and sees this host's files as they are, read
only; what it writes is gone at its end, but for FLEET_VM_OUT: a directory, empty at the beginning, that has the same
path inside and outside (--out names one that stays). The command runs as root in the current directory, with the
caller's FLEET_* variables; FLEET_VM_HOST is the address of this host. Its output is ours, and so is its exit code; 77
after "skipped: why" when there can be no such machine here, 124 when it took too long, 70 when it did not boot.

The kernel comes from Debian's mirror once, and stays in build/vm with the RAM disk.
"""
import argparse
import hashlib
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "vm"
TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "modprobe": "kmod", "depmod": "kmod",
         "cpio": "cpio", "apt-get": "apt", "dpkg-deb": "dpkg"}
PATH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
MODULES = ("virtio_pci", "virtio_net", "9pnet_virtio", "9p", "overlay", "vcan", "vxcan", "can-raw", "can-bcm", "can-gw",
           "can-isotp", "can-j1939", "slcan", "kvaser_pci", "sch_netem")
SKIPPED, TOO_LATE, NO_BOOT = 77, 124, 70

INIT = r"""#!/bin/busybox sh
export PATH=/bin
bb() { /bin/busybox "$@"; }
bb mount -t proc proc /proc
bb mount -t sysfs sys /sys
for module in $(bb cat /modules/order); do bb insmod /modules/$module; done
bb mkdir /host /top /root
options=trans=virtio,version=9p2000.L,msize=512000
bb mount -t 9p -o $options,ro,cache=loose host /host
bb mount -t tmpfs top /top
bb mkdir /top/upper /top/work
bb mount -t overlay -o lowerdir=/host,upperdir=/top/upper,workdir=/top/work root /root
for place in proc sys dev tmp run; do bb mkdir -p /root/$place; done
bb mount -t proc proc /root/proc
bb mount -t sysfs sys /root/sys
bb mount -t devtmpfs dev /root/dev
bb mkdir -p /root/dev/pts /root/dev/shm
bb mount -t devpts devpts /root/dev/pts
bb mount -t tmpfs shm /root/dev/shm
out=$(bb sed 's/.*fleet_out=\([^ ]*\).*/\1/' /proc/cmdline)
bb mkdir -p /root$out
bb mount -t 9p -o $options,cache=none out /root$out
bb ip link set lo up
bb ip addr add 10.0.2.15/24 dev eth0
bb ip link set eth0 up
bb ip route add default via 10.0.2.2
bb chroot /root /bin/sh $out/.run >/root$out/.output 2>&1
echo $? >/root$out/.code
bb poweroff -f
"""


class Skip(Exception):
    """There can be no such machine here."""


def run(*command, **options):
    """Its standard output; Skip when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode != 0:
        why = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise Skip(f"{' '.join(command[:2])}: {why}")
    return done.stdout


def check_tools():
    if run("uname", "-m").strip() != "x86_64":
        raise Skip("the programs of this machine would not run in a machine of x86-64")
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool, path=PATH)})
    if missing:
        raise Skip(f"not installed: {' '.join(missing)}; apt-get install {' '.join(missing)}")
    if subprocess.run(["ldd", shutil.which("busybox", path=PATH)], capture_output=True, check=False).returncode == 0:
        raise Skip("busybox needs libraries; apt-get install busybox-static")


def kernel_package():
    """The package that Debian's metapackage stands for now: the flavour with drivers, which that for clouds has not."""
    for line in run("apt-cache", "depends", "linux-image-amd64").splitlines():
        if line.strip().startswith("Depends: linux-image-"):
            return line.split()[-1]
    raise Skip("apt-cache knows no linux-image-amd64; apt-get update")


def pack(kernel_root, work):
    """Writes work/initrd: busybox, INIT, and the modules with what they need, in an order that loads."""
    release = next((kernel_root / "lib" / "modules").iterdir()).name
    run("depmod", "-b", kernel_root, release)
    tree = work / "tree"
    for directory in ("bin", "proc", "sys", "dev", "modules"):
        (tree / directory).mkdir(parents=True)
    order = []
    for module in MODULES:
        for line in run("modprobe", "-d", kernel_root, "-S", release, "--show-depends", module).splitlines():
            if line.startswith("insmod ") and (file := pathlib.Path(line.split()[1])).name not in order:
                shutil.copy(file, tree / "modules")
                order.append(file.name)
    (tree / "modules" / "order").write_text("\n".join(order) + "\n")
    shutil.copy(shutil.which("busybox", path=PATH), tree / "bin" / "busybox")
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    with open(work / "initrd", "wb") as initrd:
        names = "".join(f"{path.relative_to(tree)}\n" for path in sorted(tree.rglob("*")))
        done = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=names.encode(), stdout=initrd,
                              check=False)
    if done.returncode != 0:
        raise Skip("cpio could not pack the RAM disk")


def prepare():
    """The directory with kernel and RAM disk: made once for each content of the latter."""
    ready = CACHE / hashlib.sha256(repr((INIT, MODULES)).encode()).hexdigest()[:12]
    if ready.exists():
        return ready
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as made:
        work = pathlib.Path(made)
        package = next(iter(CACHE.glob("linux-image-*.deb")), None)
        if package is None:
            run("apt-get", "-o", "APT::Sandbox::User=root", "download", kernel_package(), cwd=work)
            package = next(work.glob("linux-image-*.deb"))
            package = package.rename(CACHE / package.name)
        run("dpkg-deb", "-x", package, work / "kernel")
        pack(work / "kernel", work)
        result = work / "ready"
        result.mkdir()
        next((work / "kernel" / "boot").glob("vmlinuz-*")).rename(result / "vmlinuz")
        (work / "initrd").rename(result / "initrd")
        try:
            result.rename(ready)
        except OSError:  # another one was faster
            pass
    return ready


def boot(ready, out, timeout):
    """False: it took too long."""
    machine = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max",
               "-m", "512", "-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{out}/.console",
               "-kernel", ready / "vmlinuz", "-initrd", ready / "initrd",
               "-append", f"console=ttyS0 quiet panic=-1 tsc=reliable fleet_out={out}",
               "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
               "-virtfs", f"local,path={out},mount_tag=out,security_model=none",
               "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=",
               "-object", "can-bus,id=wire"] + 2 * ["-device", "kvaser_pci,canbus=wire"]
    try:
        with open(out / ".qemu", "wb") as log:
            subprocess.run(machine, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=timeout, check=False,
                           env={**os.environ, "PATH": PATH})
    except subprocess.TimeoutExpired:
        return False
    return True


def write_command(out, command):
    """What the machine runs, with the variables that it is told."""
    told = {name: value for name, value in os.environ.items() if name.startswith("FLEET_")}
    told.update({"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "LANG": "C.UTF-8",
                 "FLEET_VM_OUT": str(out), "FLEET_VM_HOST": "10.0.2.2"})
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(told.items()))
    (out / ".run").write_text(f"cd {shlex.quote(os.getcwd())} || exit\nexec env -i {variables} {shlex.join(command)}\n")


def text_of(file):
    return file.read_text(errors="replace") if file.exists() else ""


def run_in_vm(command, out, timeout):
    check_tools()
    ready = prepare()
    write_command(out, command)
    in_time = boot(ready, out, timeout)
    sys.stdout.write(text_of(out / ".output"))
    sys.stdout.flush()
    code = text_of(out / ".code").strip()
    if code:
        return int(code)
    print(f"vm.py: {'no end within' if not in_time else 'it ended without a result, after at most'} {timeout:g} s; its "
          f"console:\n{text_of(out / '.qemu')}{text_of(out / '.console')}", file=sys.stderr)
    return NO_BOOT if in_time else TOO_LATE


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timeout", type=float, default=90, metavar="SECONDS", help="for all of it, with booting (90)")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="FLEET_VM_OUT: made, and kept")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("no command")
    try:
        if arguments.out:
            arguments.out.mkdir(parents=True)
            return run_in_vm(arguments.command, arguments.out.resolve(), arguments.timeout)
        with tempfile.TemporaryDirectory(prefix="fleet-vm-") as out:
            return run_in_vm(arguments.command, pathlib.Path(out), arguments.timeout)
    except Skip as why:
        print(f"skipped: {why}")
        return SKIPPED


if __name__ == "__main__":
    sys.exit(main())
