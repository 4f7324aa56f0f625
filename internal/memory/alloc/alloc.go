// Package alloc is what the machine allocates from while it runs: two allocators of Go objects of one type each, which make no garbage once
// they have grown to what is needed.
//
//	pool.go       objects that come and go one by one: requests of a virtqueue
//	arena.go      objects that are made one by one and end together: the values of a region of code
//	debug_*.go    what a build with the tag allocdebug checks besides
//
// Both are Go's memory, which the collector sees: an object may point anywhere, and one that is used too late is wrong, but memory is never
// corrupted. Neither locks anything: an allocator belongs to whoever owns what is allocated from it.
//
// With the tag allocdebug (make unit-allocdebug) use after release is caught: releasing twice panics at once; a released object is made nonsense, as the caller
// defines it or all zeroes, which readers trip over; it is not handed out again for a while, and a write to it meanwhile panics when its turn comes.
//
// What has an allocator of its own already: memory for host code (jit/code's Arena and Region: bump allocation, freed by the region) and requests to a
// disk (virtio/blk: one for each worker, for good).
package alloc
