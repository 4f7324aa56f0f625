// Package guestimage is where guests come from, and the cache that holds them.
//
// A guest is a kernel, the modules of that kernel that a machine may need, and a static busybox to run as user space. It is
// pulled from a Debian mirror with the host's apt-get in a private configuration (apt.go, pull.go), or imported from files by
// hand (import.go). Either way it lands in one cache (cache.go): blobs named by their SHA-256, and one small manifest for each
// image name that lists them (manifest.go).
//
// Nothing here needs root, changes the host's apt state, or names a host on the network: the mirror is the one that the host's
// own apt configuration names (sources.go), and apt's signature check decides what is genuine.
package guestimage

import "errors"

// DefaultName is the image that a machine boots when it is given no kernel.
const DefaultName = "default"

// DefaultSuite is the Debian release that DefaultName is pulled from.
const DefaultSuite = "trixie"

// Arch is Debian's name of the guest architecture.
const Arch = "riscv64"

// ErrNotFound means that the cache has no image of that name.
var ErrNotFound = errors.New("no such image")

// ErrNoApt means that this host cannot pull, only import.
var ErrNoApt = errors.New("this host has no apt-get: obtain Debian's linux-image-" + Arch + " and busybox-static elsewhere, unpack " +
	"them, and run: vm image import " + DefaultName + " --kernel boot/vmlinux-VERSION --busybox usr/bin/busybox --modules usr/lib/modules/VERSION")

// ErrNoMirror means that the host's apt configuration has no entry for Debian.
var ErrNoMirror = errors.New("this host's apt configuration names no Debian mirror: name one with vm image pull --mirror URL")
