package memory

import "golang.org/x/sys/unix"

const mapNoReserve = unix.MAP_NORESERVE

// advise asks for huge pages: a fresh host page is dear on virtualised hosts. A refusal costs speed only.
func advise(mem []byte) { _ = unix.Madvise(mem, unix.MADV_HUGEPAGE) }

// HostTotal is the host's memory in bytes, or 0 when it does not say.
func HostTotal() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}
