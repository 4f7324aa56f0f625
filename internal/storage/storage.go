// Package storage is disk images: what holds the bytes behind a block device. It knows nothing of virtio.
package storage

// Image is a disk of fixed size. Offsets and lengths are in bytes; callers keep them multiples of the sector size they
// agreed on and inside Size. Methods are safe for concurrent use; concurrent overlapping writes may land in either order.
type Image interface {
	// ReadvAt fills the buffers in order from off.
	ReadvAt(bufs [][]byte, off int64) error
	// WritevAt writes the buffers in order at off.
	WritevAt(bufs [][]byte, off int64) error
	// Flush makes completed writes durable on the host.
	Flush() error
	// Discard says the range's contents do not matter; it may read as anything until written. Frees host space where it can.
	Discard(off, n int64) error
	// WriteZeroes makes the range read as zeros; mayUnmap allows freeing host space.
	WriteZeroes(off, n int64, mayUnmap bool) error
	// Size in bytes.
	Size() int64
	// ReadOnly images fail every write.
	ReadOnly() bool
	// Close flushes and releases the image.
	Close() error
}
