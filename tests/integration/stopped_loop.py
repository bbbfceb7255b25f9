"""Stops the loop of one of our programs and leaves its other threads running, as if the loop hung."""
import contextlib
import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000


def ptrace(request, thread):
    if LIBC.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace request {request:#x}")


@contextlib.contextmanager
def stopped_loop(pid):
    """The loop is the first thread, whose number is that of the process."""
    ptrace(SEIZE, pid)
    try:
        ptrace(INTERRUPT, pid)
        os.waitpid(pid, WALL)
        yield
    finally:
        ptrace(DETACH, pid)
