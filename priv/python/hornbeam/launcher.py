"""Starts the Erlang VM for every command of `hornbeam`, and passes signals on to it.

The work is done by src/cli/hornbeam_cli.erl; this only starts the VM (vm.py knows which) as a child
in a session of its own, so that a terminal's Ctrl-C reaches this process alone, and waits:

- SIGTERM and SIGINT (Ctrl-C) stop the VM gracefully; a second one kills it. Erlang cannot handle
  SIGINT, so SIGTSTP stands for it (hornbeam_signals), which does nothing to a VM that does not know
  of it: its session has no terminal. SIGTERM follows. The Python workers see the end of their pipe
  and end by themselves.
- SIGHUP reloads, unless it comes from a terminal that is closing (stdin is one): then it stops.
- When this process dies without having been asked to, the kernel sends SIGTERM to the VM (Linux).
- The VM gets as many open files as the hard limit allows; the workers get the soft one back.
- Standard input is the workers', which are in the VM's session: a terminal lets whoever does not
  have it as a controlling terminal read it, so breakpoint() works. A debugger that was killed may
  leave it without echo; the modes that it had are put back at the end.
- The exit status is the VM's; 128 + N when signal N killed it.

Every local user can read a command line and none but its owner an environment, so the arguments,
which may hold secrets (--env), go to the VM as HORNBEAM_ARGUMENTS (how many) and
HORNBEAM_ARGUMENT_1 and so on; hornbeam_cli takes them out before anything else is started. What a
configuration file says goes the same way (configuration.py). Neither a crash dump of the VM nor a
core dump of it or of a worker is left behind: they hold keys, cookies and tokens (the option
crash_dump_dir asks for the first).

Environment: HORNBEAM_ERL_FLAGS adds flags for the VM; they win over those of vm.py.

It stays for as long as the server runs, so it imports little (no site, pathlib or subprocess;
ctypes, resource and what reads a configuration file only in the child, where they are gone with
the exec): 4 MB of its own instead of 7. And it runs isolated (-I), because PYTHONPATH is for the
application and may hold a signal.py.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

from hornbeam import vm

TYPE_CHECKING = False  # without importing typing; type checkers know the name
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Launcher", "main", "start"]

# The VM asks for no more open files than this, whatever the hard limit says: its table of ports is
# smaller, and where there is no closefrom(3) it closes as many one by one when it starts.
MAX_FILES = 1048576
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
# A VM that boots loses SIGTERM for about a tenth of a second (measured) before its handler is
# there; so one sent to a VM younger than this is sent again.
BOOT_SECONDS = 2.0
REPEAT_SECONDS = 0.5


def is_text(argument: str) -> bool:
    return os.fsencode(argument).decode("utf-8", "replace") == argument


def environment(arguments: list[str]) -> dict[str, str]:
    """Ours, the arguments and what the configuration file says, with HORNBEAM_ERL_FLAGS where erl
    reads (and unquotes) the flags that count last."""
    from hornbeam import configuration

    settings: dict[str, str] = {}
    if arguments and arguments[0] in configuration.COMMANDS:
        arguments, settings = configuration.take(arguments)
    env = dict(os.environ)
    own, zflags = env.pop("HORNBEAM_ERL_FLAGS", ""), env.get("ERL_ZFLAGS", "")
    if own:
        env["ERL_ZFLAGS"] = f"{zflags} {own}".strip()
    env["ERL_CRASH_DUMP_BYTES"] = "0"
    env["HORNBEAM_ARGUMENTS"] = str(len(arguments))
    numbered = enumerate(arguments, 1)
    return env | settings | {f"HORNBEAM_ARGUMENT_{number}": text for number, text in numbered}


def become_vm(parent: int, command: list[str], arguments: list[str], added: dict[str, str]) -> None:
    """In the child: a session of its own, tied to the launcher's life, then erl. Never returns."""
    try:
        os.setsid()
        die_with(parent)
        no_core_dumps()
        for number in (*STOP_SIGNALS, signal.SIGPIPE):  # Python itself ignores SIGPIPE
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        env = environment(arguments) | added
        env |= vm.allocator(env)
        files = raise_descriptor_limit(env)
        os.execve(command[0], command + vm.tables(files) + vm.links(env), env)
    except SystemExit as reason:  # the configuration file's; it has said why
        os._exit(reason.code if isinstance(reason.code, int) else 1)
    except OSError as error:
        sys.stderr.write(f"hornbeam: {command[0]} cannot be started: {error}\n")
    finally:
        os._exit(1)


def die_with(parent: int) -> None:
    """SIGTERM when the parent dies. Without prctl the VM simply outlives a killed launcher."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    except (ImportError, OSError, AttributeError):
        return
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)


def no_core_dumps() -> None:
    """The soft limit only: an application may still ask for one of its own."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def raise_descriptor_limit(env: dict[str, str]) -> int:
    """The soft limit becomes the hard one, which is returned; `env` tells the workers what it was
    (main.py)."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    with suppress(ValueError, OSError):  # what macOS calls no limit is one
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        env["HORNBEAM_SOFT_NOFILE"] = str(soft)
    return wanted


def terminal_modes() -> list[Any] | None:
    """Those of standard input, where it is a terminal."""
    if not os.isatty(0):
        return None
    import termios

    return termios.tcgetattr(0)


def restore_terminal(modes: list[Any] | None) -> None:
    """Not from the background, where it would stop this process, and where another one has it."""
    if modes is None:
        return
    import termios

    with suppress(OSError):  # ENOTTY: it is not the terminal of this session, which may set it
        if os.tcgetpgrp(0) != os.getpgrp():
            return
    with suppress(termios.error):  # it has gone
        if termios.tcgetattr(0) != modes:
            termios.tcsetattr(0, termios.TCSADRAIN, modes)
            if os.isatty(1):
                os.write(1, b"\x1b[?25h")  # `hornbeam top` has hidden the cursor


def start(arguments: list[str]) -> int:
    """Starts the VM for `hornbeam ARGUMENTS`; the child's process id, or SystemExit.

    The signals are blocked until somebody waits for it, in this program or, as __main__ does, in
    one that this process becomes: one in between would have nobody to go to.
    """
    try:
        command, added = vm.command()
    except vm.CannotStart as reason:
        sys.stderr.write(f"hornbeam: {reason}\n")
        sys.exit(1)
    if not all(map(is_text, arguments)):  # an environment variable would bend it
        sys.stderr.write("hornbeam: an argument is not Unicode text\nTry: hornbeam help\n")
        sys.exit(2)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        become_vm(parent, command, arguments, added)
    return child


class Launcher:
    """The child, and whether it has been asked to stop."""

    def __init__(self, child: int) -> None:
        self.child = child
        self.started = time.monotonic()
        self.asked_to_stop = False

    def wait(self) -> int:
        """The exit status."""
        for number in STOP_SIGNALS:
            signal.signal(number, self.on_signal)
        signal.signal(signal.SIGALRM, self.on_alarm)
        modes = terminal_modes()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        _, status = os.waitpid(self.child, 0)
        # Nobody is there to be told, and a late one would end Python once its handlers are gone.
        signal.pthread_sigmask(signal.SIG_BLOCK, (*STOP_SIGNALS, signal.SIGALRM))
        restore_terminal(modes)
        return self.exit_status(os.waitstatus_to_exitcode(status))

    def on_signal(self, number: int, frame: object) -> None:
        if number == signal.SIGHUP and not os.isatty(0):
            self.send(signal.SIGHUP)
        elif self.asked_to_stop:
            self.send(signal.SIGKILL)
        else:
            self.asked_to_stop = True
            if number == signal.SIGINT:
                self.send(signal.SIGTSTP)
                signal.setitimer(signal.ITIMER_REAL, REPEAT_SECONDS)
            else:
                self.on_alarm(number, frame)

    def on_alarm(self, _number: int, _frame: object) -> None:
        self.send(signal.SIGTERM)
        if time.monotonic() - self.started < BOOT_SECONDS:
            signal.setitimer(signal.ITIMER_REAL, REPEAT_SECONDS)

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(self.child, number)

    def exit_status(self, code: int) -> int:
        if code >= 0:
            return code
        if self.asked_to_stop and -code == signal.SIGTERM:
            return 0  # before the VM handled the signal: nothing had been started yet
        return 128 - code


def main(arguments: list[str]) -> int:
    """The exit status of `hornbeam ARGUMENTS`."""
    return Launcher(start(arguments)).wait()
