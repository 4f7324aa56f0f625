// Package virtio is the part of virtio 1.3 that every device shares: feature negotiation, status, the split and packed
// rings, and the two transports (mmio.go: virtio over MMIO §4.2; pci.go: virtio over PCI §4.1).
//
// A device type (blk, console, rng, balloon) implements [Device] and sees only requests: [Chain]s of guest memory it may read or
// write. The guest owns the rings and is not trusted: every descriptor is checked, and a ring that breaks the rules sets
// DEVICE_NEEDS_RESET (§2.1.1) and stops the queue; it never panics, spins or grows memory.
package virtio

// Device type identifiers (virtio 1.3 §5).
const (
	TypeBlock   = 2
	TypeConsole = 3
	TypeRNG     = 4
	TypeBalloon = 5
)

// Feature bits that belong to the ring and the transport, not to a device type (virtio 1.3 §6).
const (
	FeatureIndirectDesc = uint64(1) << 28 // a descriptor may refer to a table of descriptors
	FeatureEventIdx     = uint64(1) << 29 // notifications are suppressed by index
	FeatureVersion1     = uint64(1) << 32 // the device is not a legacy one; the driver must accept it
	FeatureRingPacked   = uint64(1) << 34 // packed rings (§2.8) instead of split rings (§2.7)
)

// ringFeatures is what the core offers on behalf of every device.
const ringFeatures = FeatureIndirectDesc | FeatureEventIdx | FeatureVersion1 | FeatureRingPacked

// Device status bits (virtio 1.3 §2.1).
const (
	StatusAcknowledge = 1
	StatusDriver      = 2
	StatusDriverOK    = 4
	StatusFeaturesOK  = 8
	StatusNeedsReset  = 64
	StatusFailed      = 128
)

// MaxQueueSize is the largest virtqueue either ring format has (virtio 1.3 §2.7).
const MaxQueueSize = 32768

// Device is one virtio device behind a transport. The transport calls Activate, ConfigLoad/ConfigStore and Reset one at a time (it
// holds its own mutex), and Notify without it: from several harts at once, beside the others, and late, when Reset has
// returned. All of them come from hart goroutines, so none may block on I/O: work that can wait runs on the device's own
// goroutine and calls Queue.Done from there.
type Device interface {
	// Type is the virtio device ID.
	Type() uint32
	// Features the device offers, without the transport's and ring's own bits (VERSION_1, RING_*, and so on).
	Features() uint64
	// Queues is the maximum size of each virtqueue, a power of two up to [MaxQueueSize]. A queue may hold that many chains at
	// once and each chain up to the larger of that and 1024 buffers, which bounds what a guest can make the host allocate.
	Queues() []uint16
	// ConfigLoad copies device configuration space from off; past its end reads zeros.
	ConfigLoad(off uint64, p []byte)
	// ConfigStore writes device configuration space.
	ConfigStore(off uint64, p []byte)
	// Activate hands over negotiated features and the live queues (nil for one the driver left disabled) at DRIVER_OK. The
	// slice is the device's to keep. Buffers may be waiting already: a driver may fill a queue before DRIVER_OK and not notify.
	Activate(features uint64, queues []*Queue, t Transport)
	// Notify says that the driver put buffers on queue n, which was live.
	Notify(n int)
	// Reset stops all work: afterwards the device touches neither the queues it was given before nor guest memory. Queues still
	// work while Reset runs. It may wait for requests in flight on the host, and is called even when Activate was not.
	Reset()
}

// Transport is what a device may ask of the side that carries it. Safe to call from any goroutine.
type Transport interface {
	// ConfigChanged raises a configuration change notification (§2.3).
	ConfigChanged()
	// NeedsReset sets DEVICE_NEEDS_RESET: the driver broke the rules.
	NeedsReset(why error)
}
