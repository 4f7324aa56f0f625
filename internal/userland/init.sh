#!/bin/busybox sh
# The first process of the default guest: brings up the kernel's interfaces, loads the modules it was given, and runs one
# command or a shell. It talks to the host over named virtio-console ports; the exit status goes over the port "control".

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-linux}"
bb=/bin/busybox

$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs dev /dev 2>/dev/null

# What is needed at once is loaded now; for the rest, a file system say, the kernel calls /sbin/modprobe.
$bb ln -s vm "/lib/modules/$($bb uname -r)"
while read -r m; do
    $bb insmod "/lib/modules/vm/$m.ko" || echo "vm: loading $m failed" >/dev/kmsg
done </.vm/load

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

$bb mkdir -p /dev/pts /dev/shm /tmp /run /root /mnt
$bb mount -t devpts devpts /dev/pts
$bb mount -t tmpfs tmpfs /dev/shm
[ -e /dev/fd ] || $bb ln -s /proc/self/fd /dev/fd
[ -e /dev/stdin ] || { $bb ln -s fd/0 /dev/stdin; $bb ln -s fd/1 /dev/stdout; $bb ln -s fd/2 /dev/stderr; }
$bb --install -s /bin 2>/dev/null
$bb hostname vm
$bb ip link set lo up 2>/dev/null

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

# poweroff, halt and reboot without -f ask init by a signal. A shell takes one while it waits for a background job.
leave() {
    $bb sync
    $bb umount -a -r 2>/dev/null
    $bb "$1" -f
}
trap 'leave poweroff' USR1 USR2
trap 'leave reboot' TERM INT

if [ -s /.vm/command ]; then
    . /.vm/command # sets the positional parameters
    stdin=/dev/null
    [ -e /.vm/stdin ] && stdin=$(port vm.stdin)
    stdout=$(port vm.stdout)
    stderr=$(port vm.stderr)
    (exec "$@") <"$stdin" >"$stdout" 2>"$stderr" &
    wait $!
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
$bb setsid -c $bb sh -l <$console >$console 2>&1 3<&- &
wait $!
finish $?
