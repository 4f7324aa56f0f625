package storage

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	openDsync  = unix.O_DSYNC
	openDirect = unix.O_DIRECT
)

// directAlign is what every device of today takes, bytes, where the host does not say.
const directAlign = 4096

// newDirect asks what direct transfers of f must be multiples of.
func newDirect(f *os.File) *direct {
	var st unix.Statx_t
	align := int64(directAlign)
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st)
	if err == nil && st.Mask&unix.STATX_DIOALIGN != 0 && st.Dio_offset_align != 0 {
		align = max(int64(st.Dio_offset_align), int64(st.Dio_mem_align))
	}
	return makeDirect(min(align, bounceSize))
}
