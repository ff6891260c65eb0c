"""Becomes a user and a group of the operating system, then the interpreter of a worker.

`hornbeam_account` runs this file by its path, isolated: `account.py run|check USER GROUP PROGRAM
ARGUMENT...`. `check` looks whether the account can be had and may use the program and the file that
its last argument is. "" for USER or GROUP leaves that to the other: a user comes with the groups
that the system says, a group alone with none besides. Any Python 3 of the system may run it: it
imports nothing of Hornbeam's and nothing that is not the interpreter's own, and nothing at all once
it has become somebody else, who may not be able to read it.

HOME, USER and LOGNAME become the user's; what `env` and `env_file` say comes after that.
"""

from __future__ import annotations

import grp
import os
import pwd
import sys
from typing import NamedTuple, NoReturn

__all__ = ["main"]

PREFIX = "HORNBEAM_SET_"


class Account(NamedTuple):
    """What to become; no name or home: the system knows none."""

    uid: int
    gid: int
    groups: list[int]
    name: str | None
    home: str | None


def main(arguments: list[str]) -> NoReturn:
    """Ends as the program, or says why not and exits with 1."""
    task, user, group, program, *rest = arguments
    account = find(user, group)
    if not is_allowed(account):
        sys.exit(
            "only root can run workers as another user or group, and the server runs as "
            f"UID {os.geteuid()}"
        )
    try:
        become(account)
    except OSError as error:  # root without CAP_SETUID, say
        sys.exit(f"the account cannot be taken: {error.strerror}")
    if task == "check":
        may_use(account, program, rest[-1])
        sys.exit(0)
    try:
        os.execve(program, [program, *rest], environment(account, bool(user)))
    except OSError as error:
        sys.exit(f"{program}: {error.strerror}")


def may_use(account: Account, program: str, file: str) -> None:
    """Exits where the account may not: a folder of root's is a common mistake."""
    who = f"user {account.name or account.uid}, group {account.gid}"
    if not os.access(program, os.X_OK):
        sys.exit(f"{who} may not execute {os.path.realpath(program)}")
    if not os.access(file, os.R_OK):
        sys.exit(f"{who} may not read {file}")


def find(user: str, group: str) -> Account:
    """The account of these names or numbers; exits where there is none."""
    known = find_user(user) if user else None
    uid = known.pw_uid if known else int(user) if user else os.geteuid()
    if group:
        gid = find_group(group)
    elif known:
        gid = known.pw_gid
    else:
        sys.exit(f"no user has the number {user}: its group must be given, too")
    name = known.pw_name if known else None
    groups = os.getgrouplist(name, gid) if name else [gid]
    return Account(uid, gid, groups, name, known.pw_dir if known else None)


def find_user(user: str) -> pwd.struct_passwd | None:
    """None for a number that nobody has."""
    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        if user.isdecimal():
            return None
        sys.exit(f"there is no user {user}")


def find_group(group: str) -> int:
    """Its number."""
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        sys.exit(f"there is no group {group}")


def is_allowed(account: Account) -> bool:
    """Whether this process can become it, or is it."""
    return os.geteuid() == 0 or (account.uid, account.gid) == (os.geteuid(), os.getegid())


def become(account: Account) -> None:
    """Real, effective and saved; for good."""
    if os.geteuid() != 0:
        return
    os.setgroups(account.groups)
    os.setgid(account.gid)
    os.setuid(account.uid)
    if account.uid != 0:
        try:
            os.setuid(0)
        except PermissionError:
            return
        sys.exit("the rights of root could not be given up")


def environment(account: Account, is_user: bool) -> dict[str, str]:
    """What the program runs with."""
    variables = dict(os.environ)
    if is_user:
        for key, value in (
            ("HOME", account.home),
            ("USER", account.name),
            ("LOGNAME", account.name),
        ):
            variables.pop(key, None)
            if value is not None:
                variables[key] = value
    given = {key: variables.pop(key) for key in [*variables] if key.startswith(PREFIX)}
    variables.update((key[len(PREFIX) :], value) for key, value in given.items())
    return variables


if __name__ == "__main__":
    main(sys.argv[1:])
