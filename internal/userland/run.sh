#!/bin/busybox sh
# What init runs: one command, or a shell. It talks to the host over named virtio-console ports; the exit status goes over the
# port "control".

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-linux}"
bb=/bin/busybox

# port NAME: prints the device of a virtio-console port, waiting for the kernel to announce it.
port() {
    tries=0
    while [ $tries -lt 500 ]; do
        for d in /sys/class/virtio-ports/*; do
            if [ -e "$d/name" ] && read -r n <"$d/name" && [ "$n" = "$1" ]; then
                echo "/dev/${d##*/}"
                return
            fi
        done
        tries=$((tries + 1))
        $bb usleep 10000
    done
    echo "vm: no port $1" >/dev/kmsg
    echo /dev/null
}

control=$(port vm.control)
cd /root 2>/dev/null || cd /

# Output the command left behind is on its way to the host before its status is: a write to a port returns once the host has it.
finish() {
    $bb sync
    $bb umount -a -r 2>/dev/null
    echo "exit $1" >"$control"
    $bb poweroff -f
    while :; do $bb sleep 1000; done
}

if [ -s /.vm/command ]; then
    . /.vm/command # sets the positional parameters
    stdin=/dev/null
    [ -e /.vm/stdin ] && stdin=$(port vm.stdin)
    stdout=$(port vm.stdout)
    stderr=$(port vm.stderr)
    (exec "$@") <"$stdin" >"$stdout" 2>"$stderr"
    finish $?
fi

# Linux drops what arrives for a terminal that nobody has opened: the host holds its input back until it is told.
console=/dev/hvc0
if [ -c $console ]; then
    exec 3<$console
    echo terminal >"$control"
else
    console=/dev/console
fi
$bb setsid -c $bb sh -l <$console >$console 2>&1 3<&-
finish $?
