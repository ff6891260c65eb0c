#!/bin/sh
# The command of a release: `bin/hornbeam COMMAND`, the same commands as the project's own launcher and those of a service.
#
# It replaces relx's start script, whose stop and status need Erlang distribution (and so an open port and a cookie): here they
# go through the control socket. Every option is a HORNBEAM_* variable or a key of releases/VERSION/sys.config; besides:
#
#   HORNBEAM_NODE      a name such as hornbeam@127.0.0.1: turns Erlang distribution on, for remote_console
#   HORNBEAM_COOKIE    its cookie; without one Erlang's own ~/.erlang.cookie
#   HORNBEAM_CLUSTER   and the other options of a cluster: the VM gets what its links need, unless HORNBEAM_NODE has given it a name
#   HORNBEAM_LOG       where `daemon` writes what the server prints; default log/hornbeam.log in the release
#   HORNBEAM_SCHEDULERS  how many schedulers the VM has; default one for every two cores, all while many WebSockets are open
#   HORNBEAM_ERL_FLAGS more flags for the VM; they win over vm.args
set -eu

ROOT=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd -P)
# The file has no line break at its end, so read fails although it has read.
read -r ERTS VERSION < "$ROOT/releases/start_erl.data" || [ -n "$VERSION" ]
RELEASE="$ROOT/releases/$VERSION"
export ROOTDIR="$ROOT" BINDIR="$ROOT/erts-$ERTS/bin" EMU=beam PROGNAME=hornbeam
export ERL_LIBS="$ROOT/lib"
# No crash dump of the VM, no core dump of it or of a worker: they hold keys, cookies, tokens. The option crash_dump_dir asks for the
# first; the second is a soft limit, that an application may raise for itself.
export ERL_CRASH_DUMP_BYTES=0
ulimit -S -c 0
# One scheduler online for every two cores once it serves, as hornbeam/vm.py has it (and says why).
HALF=
if [ -z "${HORNBEAM_SCHEDULERS:-}" ]; then
    HORNBEAM_SCHEDULERS=$(getconf _NPROCESSORS_ONLN)
    export HORNBEAM_SCHEDULERS
    HALF=-half_of_the_cores
fi

# Takes the cookie from the environment: what is in a file of arguments is on the VM's command line, too, for every local user to read.
COOKIE="-nocookie -epmd_module hornbeam_node_epmd"

# As many open files as the hard limit allows, but no more than the VM can use (hornbeam/launcher.py says why); workers get the soft one back.
raise_descriptor_limit() {
    soft=$(ulimit -S -n) hard=$(ulimit -H -n)
    [ "$hard" != unlimited ] && [ "$hard" -le 1048576 ] || hard=1048576
    if [ "$soft" != unlimited ] && [ "$soft" -lt "$hard" ] && ulimit -S -n "$hard" 2>/dev/null; then
        export HORNBEAM_SOFT_NOFILE="$soft"
    fi
}

# As hornbeam/vm.py has them, which says why: the tables of processes and ports, the C library's allocator (hornbeam_vm takes that out again).
size_memory() {
    files=$(ulimit -S -n)
    [ "$files" != unlimited ] || files=1048576
    processes=$((2 * files))
    [ "$processes" -ge 65536 ] || processes=65536
    [ "$processes" -le 262144 ] || processes=262144
    [ "$files" -le 262144 ] || ports="+Q 262144"
    if ! env | grep -Eq '^(MALLOC_|GLIBC_TUNABLES=)'; then
        export MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=16384 HORNBEAM_MALLOC="MALLOC_ARENA_MAX MALLOC_MMAP_THRESHOLD_"
    fi
}

usage() {
    cat <<'TEXT'
Usage:
  hornbeam foreground [flags]            serve HORNBEAM_APP until SIGTERM; SIGHUP reloads
  hornbeam run APP [flags]               the same for an application that is named here
  hornbeam config [APP] [flags]          every option's value and where it comes from
  hornbeam daemon [flags]                the same in the background; returns when it serves
  hornbeam status | metrics | reload [flags] | stop    of a server that runs
  hornbeam mount PLACE=APP [flags] | unmount PLACE    add, replace or remove an application of it
  hornbeam remote_console                an Erlang shell in it (needs HORNBEAM_NODE, there and here)
  hornbeam version | help                `help` lists the flags
TEXT
}

fail() {
    echo "hornbeam: $1" >&2
    exit 1
}

# ${NAME} and ${NAME:-default} from the environment, in the two templates; in a file of our own, which the VM reads at once.
substitute() {
    awk '{
        line = $0; out = ""
        while (match(line, /\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}/)) {
            body = substr(line, RSTART + 2, RLENGTH - 3)
            at = index(body, ":-")
            name = at ? substr(body, 1, at - 1) : body
            value = (name in ENVIRON) && ENVIRON[name] != "" ? ENVIRON[name] : (at ? substr(body, at + 2) : "")
            out = out substr(line, 1, RSTART - 1) value
            line = substr(line, RSTART + RLENGTH)
        }
        print out line
    }' "$1"
}

# The command and its flags, as environment variables: a command line is there for every local user to read, and `--env` holds secrets.
# hornbeam_cli takes them out again.
hand_over() {
    export HORNBEAM_ARGUMENTS=$#
    number=0
    for argument; do
        number=$((number + 1))
        export "HORNBEAM_ARGUMENT_$number=$argument"
    done
}

# In the environment, a flag or sys.config; and nobody has said how the VM's links are to be.
asks_for_cluster() {
    case " ${HORNBEAM_NODE:+-name} ${ERL_AFLAGS:-} ${ERL_FLAGS:-} ${ERL_ZFLAGS:-} ${HORNBEAM_ERL_FLAGS:-} " in
        *" -name "* | *" -sname "* | *" -proto_dist "* | *" -epmd_module "*) return 1 ;;
    esac
    [ -z "${HORNBEAM_CLUSTER:-}" ] || return 0
    for argument; do
        case "$argument" in --cluster | --cluster=*) return 0 ;; esac
    done
    grep -Eq '^[^%]*\{[[:space:]]*cluster[[:space:]]*,' "$HORNBEAM_BOOT_DIR/sys.config"
}

# As hornbeam/vm.py has them, which says why.
links() {
    options=$(echo "$ROOT"/lib/hornbeam-*/priv/python/hornbeam/cluster.options)
    printf '%s\n' "-proto_dist hornbeam_cluster" "-epmd_module hornbeam_cluster_epmd" "-nocookie" "-start_epmd false" \
        "-kernel prevent_overlapping_partitions false" "-ssl_dist_optfile $options"
}

# exec, so that systemd's main process, and the target of its signals, is the VM itself. The templates are filled into a folder of
# mode 0700 that the VM removes once it has read them (hornbeam_cli).
start_vm() {
    hand_over "$@"
    HORNBEAM_BOOT_DIR=$(umask 077 && mktemp -d "${TMPDIR:-/tmp}/hornbeam-boot.XXXXXX")
    export HORNBEAM_BOOT_DIR
    substitute "$RELEASE/sys.config.src" > "$HORNBEAM_BOOT_DIR/sys.config"
    substitute "$RELEASE/vm.args.src" > "$HORNBEAM_BOOT_DIR/vm.args"
    if [ -n "${HORNBEAM_NODE:-}" ]; then
        case "$HORNBEAM_NODE" in *@*.*) kind=-name ;; *) kind=-sname ;; esac
        echo "$kind $HORNBEAM_NODE" >> "$HORNBEAM_BOOT_DIR/vm.args"
        [ -z "${HORNBEAM_COOKIE:-}" ] || echo "$COOKIE" >> "$HORNBEAM_BOOT_DIR/vm.args"
    fi
    ! asks_for_cluster "$@" || links >> "$HORNBEAM_BOOT_DIR/vm.args"
    ERL_ZFLAGS="${ERL_ZFLAGS:-} ${HORNBEAM_ERL_FLAGS:-}"
    export ERL_ZFLAGS
    raise_descriptor_limit
    ports=
    size_memory
    # Interactive, because the boot file knows neither Hornbeam nor what it needs; all code is loaded at the start (hornbeam_code).
    # shellcheck disable=SC2086  # nothing, or few words
    exec ${DETACH:-} "$BINDIR/erlexec" +P "$processes" $ports -boot "$RELEASE/start_clean" -noinput -mode interactive $HALF \
        -config "$HORNBEAM_BOOT_DIR/sys" -args_file "$HORNBEAM_BOOT_DIR/vm.args" \
        -s hornbeam_cli main
}

# Short-lived: no configuration, no name.
ask_vm() {
    hand_over "$@"
    exec "$BINDIR/erlexec" -boot "$RELEASE/start_clean" -noinput +fnu +pc unicode \
        -s hornbeam_cli main
}

daemon() {
    log=${HORNBEAM_LOG:-$ROOT/log/hornbeam.log}
    mkdir -p "$(dirname "$log")"
    before=$(cat "$log" 2>/dev/null | wc -l)
    (DETACH=setsid && start_vm run "$@") < /dev/null >> "$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        if tail -n "+$((before + 1))" "$log" | grep -q '^Hornbeam .* serving '; then
            echo "$pid"
            return 0
        fi
        sleep 0.1
    done
    tail -n "+$((before + 1))" "$log" >&2
    fail "it did not start; see $log"
}

remote_console() {
    [ -n "${HORNBEAM_NODE:-}" ] || fail "remote_console needs Erlang distribution: set HORNBEAM_NODE for the server and here"
    case "$HORNBEAM_NODE" in *@*.*) kind=-name ;; *) kind=-sname ;; esac
    host=${HORNBEAM_NODE#*@}
    name="console$$"
    [ "$host" = "$HORNBEAM_NODE" ] || name="$name@$host"
    # shellcheck disable=SC2086  # words
    [ -z "${HORNBEAM_COOKIE:-}" ] || set -- $COOKIE
    ERL_ZFLAGS="${ERL_ZFLAGS:-} ${HORNBEAM_ERL_FLAGS:-}"
    export ERL_ZFLAGS
    exec "$BINDIR/erlexec" -boot "$RELEASE/start_clean" \
        "$kind" "$name" "$@" -hidden -dist_listen false -remsh "$HORNBEAM_NODE"
}

command=${1:-}
[ $# -eq 0 ] || shift
case "$command" in
    foreground) start_vm run "$@" ;;
    run) start_vm run "$@" ;;
    config) start_vm config "$@" ;;
    daemon) daemon "$@" ;;
    status | metrics | reload | mount | unmount | stop | version) ask_vm "$command" "$@" ;;
    remote_console) remote_console ;;
    help | --help | -h) usage; ask_vm help ;;
    *) usage >&2; exit 2 ;;
esac
