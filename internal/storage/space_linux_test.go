package storage

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Discard and write-zeroes give space back to the host where its file system can.
func TestSpaceIsFreed(t *testing.T) {
	const size = 4 << 20
	for _, c := range []struct {
		name string
		do   func(Image) error
	}{
		{"discard", func(i Image) error { return i.Discard(0, size) }},
		{"write-zeroes that may unmap", func(i Image) error { return i.WriteZeroes(0, size, true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := imageFile(t, size)
			img := mustOpen(t, Options{Path: path})
			if err := img.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := c.do(img); err != nil {
				t.Fatal(err)
			}
			if img.(*file).noPunch.Load() {
				t.Skip("the file system cannot punch holes")
			}
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil {
				t.Fatal(err)
			}
			if st.Size != size || st.Blocks*512 > size/16 {
				t.Errorf("the file has %d bytes and occupies %d", st.Size, st.Blocks*512)
			}
		})
	}
}

// A snapshot leaves no file behind, not even while it is open.
func TestSnapshotHasNoName(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	img := mustOpen(t, Options{Path: imageFile(t, 8192), Snapshot: true})
	if err := img.WritevAt([][]byte{make([]byte, 4096)}, 0); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("%d files in the temporary directory (%v)", len(left), err)
	}
}
