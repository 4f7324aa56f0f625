//go:build allocdebug

package balloon_test

import (
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
)

// A driver that lets a device write to what is in the balloon is told so, where uses after release are looked for.
func TestUseOfWhatIsInTheBalloonIsCaught(t *testing.T) {
	dev, d := start(t, virtiotest.PCI, 0)
	at := d.Alloc(page, page)
	d.Queue(inflate).Do(list(d, at))
	d.Queue(deflate).Add(virtiotest.Buf{Addr: at + 8, Len: 8, Write: true})
	d.Queue(deflate).Kick()
	d.WaitConfig()
	if d.Status()&virtio.StatusNeedsReset == 0 {
		t.Error("nothing was noticed")
	}
	d.SetStatus(0)
	if dev.Given() != 0 {
		t.Errorf("%d bytes in the balloon after a reset", dev.Given())
	}
}
