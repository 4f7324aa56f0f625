#!/bin/busybox sh
# The first program of a guest that is measured: it does what the host asks for on the console, line by line.
#
#   work NAME N       /bench/bench does it
#   program NAME      /bench/NAME.run has the commands, see linux_debian.go
#
# Each is answered by one line, "@bench ok WHAT" or "@bench fail WHAT".

export PATH=/bin HOME=/root LC_ALL=C TMPDIR=/tmp
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t devtmpfs dev /dev
$bb mount -t tmpfs tmp /tmp
$bb stty -echo
while read -r module; do
    $bb insmod "$module" || echo "insmod $module failed"
done </bench/modules
if [ -b /dev/vda ]; then
    $bb mount -t ext4 -o noatime /dev/vda /mnt
    $bb mkdir -p /mnt/bench /mnt/tmp /mnt/proc /mnt/dev
    for dir in bench tmp proc dev; do
        $bb mount -o bind /$dir /mnt/$dir || echo "mount $dir failed"
    done
fi
cd /tmp

# one says what is in a file as one line.
one() {
    $bb tr -s '\n' ' ' <"$1" | $bb sed 's/ *$//'
}

# inside runs a command in the file system of the disk.
inside() {
    PATH=/usr/bin:/bin $bb chroot /mnt "$@" </dev/null
}

# fail WHAT STATUS says what went wrong with a program.
fail() {
    echo "@bench fail $1 ended with status $2: $(one /tmp/errors)"
}

program() {
    warm() { :; }
    check() { :; }
    . "/bench/$1.run" # defines measured, and some of the others
    if [ ! -e "/tmp/warm-$1" ]; then
        warm >/tmp/answer 2>/tmp/errors || { fail warm-up $?; return; }
        : >"/tmp/warm-$1"
    fi
    $bb sync
    measured >/tmp/answer 2>/tmp/errors 3>/tmp/time || { fail "bench time" $?; return; }
    read -r _ _ _ status </tmp/time
    [ "$status" = 0 ] || { fail "the command" "$((status >> 8)), signal $((status & 127))"; return; }
    check >>/tmp/answer 2>/tmp/errors || { fail "the check" $?; return; }
    echo "@bench ok $(one /tmp/time) $(one /tmp/answer)"
}

# rested is for how many hundredths of a second the processor has had nothing to do.
rested() {
    read -r _ idle </proc/uptime
    echo $((${idle%.*} * 100 + 1${idle#*.} - 100))
}

# Kernels test their cryptography behind a boot, among other things: nothing is measured before they have come to rest, or half a minute has passed.
for _ in $($bb seq 100); do
    before=$(rested)
    $bb usleep 250000
    [ $(($(rested) - before)) -lt 22 ] || break
done
echo "@bench ready"
while read -r what name n; do
    case $what in
    work)
        if out=$(/bench/bench "$name" "$n" 2>&1); then
            echo "@bench ok $out"
        else
            echo "@bench fail status $?: $out"
        fi
        ;;
    program) program "$name" ;;
    *) echo "@bench fail unknown request: $what" ;;
    esac
done
