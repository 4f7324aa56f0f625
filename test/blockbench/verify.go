package main

// fio --verify: what was written is read back and compared by checksum, over every kind of image and both sizes of sectors, from two harts with a queue each;
// and once more by another machine, where the image lasts.

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/vmproject/vm/internal/bench/peer"
	"github.com/vmproject/vm/internal/storage"
)

// backend is a kind of image.
type backend struct {
	name    string
	options string                                                    // of vm's -d, each with its comma
	dir     string                                                    // where the image is; empty: the scratch folder
	lasts   bool                                                      // what is written outlives the machine
	make    func(path string, size int64, sector int) (string, error) // makes it near the path, and says where; nil: newImage
}

// backends are all of them.
var backends = []backend{
	{name: "raw", lasts: true},
	{name: "tmpfs", dir: "/dev/shm", lasts: true},
	{name: "memory", make: func(_ string, size int64, _ int) (string, error) { return fmt.Sprintf("memory:%dM", size>>20), nil }},
	{name: "snapshot", options: ",snapshot"},
	{name: "limited", options: ",iops=20000/1000,bps=200M", lasts: true},
	{name: "direct", options: ",cache=none", lasts: true},
	{name: "durable", options: ",cache=writethrough", lasts: true},
	{name: "qcow2", lasts: true, make: func(path string, size int64, sector int) (string, error) {
		path += ".qcow2"
		_, err := storage.Create(storage.CreateOptions{Path: path, Size: size, Sector: sector})
		return path, err
	}},
	{name: "overlay", lasts: true, make: func(path string, size int64, sector int) (string, error) {
		base, err := newImage(path+".base", size)
		if err != nil {
			return "", err
		}
		path += ".qcow2"
		_, err = storage.Create(storage.CreateOptions{Path: path, Sector: sector, Backing: base, BackingFormat: storage.FormatRaw})
		return path, err
	}},
}

// verifyJobs are what fio does on a disk, by what is told of it. @SECTOR@ is the size of a sector, @SIZE@ half of the disk: each of two jobs has its half.
var verifyJobs = []struct{ name, options string }{
	{"whole", "--rw=write --bs=1M --direct=1 --ioengine=libaio --iodepth=4"},
	{"random", "--rw=randwrite --bsrange=@SECTOR@-64K --blockalign=@SECTOR@ --direct=1 --ioengine=libaio --iodepth=16"},
	{"cached", "--rw=randwrite --bs=16K --ioengine=psync --fsync=64"},
}

const verifyAll = "fio --name=verify --filename=@DISK@ --size=@SIZE@ --offset_increment=@SIZE@ --numjobs=2 --group_reporting --randrepeat=1 " +
	"--verify=crc32c --verify_fatal=1 --minimal "

// verifyImage is an image under test.
type verifyImage struct {
	backend
	disk peer.RawDisk
}

// verify runs all jobs on all images. The error says how many failed.
func verify(ctx context.Context, o options, g *guest) error {
	size := int64(128 << 20)
	if o.quick {
		size = 8 << 20
	}
	var images []verifyImage
	for _, b := range backends {
		for _, sector := range []int{512, 4096} {
			name := fmt.Sprintf("%s-%d", b.name, sector)
			if !o.Run.MatchString(name) {
				continue
			}
			dir := g.scratch
			if b.dir != "" {
				var err error
				if dir, err = os.MkdirTemp(b.dir, "blockbench"); err != nil {
					return err
				}
				defer os.RemoveAll(dir)
			}
			path, err := filepath.Join(dir, name), error(nil)
			if b.make != nil {
				path, err = b.make(path, size, sector)
			} else {
				path, err = newImage(path, size)
			}
			if err != nil {
				return err
			}
			images = append(images, verifyImage{backend: b, disk: peer.RawDisk{Path: path, Sector: sector, Options: b.options}})
		}
	}
	failed := 0
	for _, again := range []bool{false, true} {
		n, err := verifyOnce(ctx, o, g, images, size, again)
		if err != nil {
			return err
		}
		failed += n
	}
	if failed > 0 {
		return fmt.Errorf("%d jobs failed", failed)
	}
	return nil
}

// verifyOnce is one machine. Again, it only reads what the last job of the one before has written.
func verifyOnce(ctx context.Context, o options, g *guest, images []verifyImage, size int64, again bool) (failed int, err error) {
	var disks []peer.RawDisk
	for _, i := range images {
		disks = append(disks, i.disk)
	}
	m := peer.VM(o.vm, o.Engine, "", o.Memory)
	s, err := g.boot(ctx, m, disks, "-c", "2")
	if err != nil {
		return 0, err
	}
	defer s.close()
	jobs := verifyJobs
	if again {
		jobs = jobs[len(jobs)-1:]
	}
	for i, image := range images {
		if again && !image.lasts {
			continue
		}
		for _, job := range jobs {
			command := verifyAll + job.options
			what := job.name
			if again {
				command, what = command+" --verify_only=1", what+", by another machine"
			}
			command = strings.NewReplacer("@DISK@", fmt.Sprintf("/dev/vd%c", 'b'+i), "@SIZE@", fmt.Sprint(size/2), "@SECTOR@", fmt.Sprint(image.disk.Sector)).Replace(command)
			out, err := s.do(ctx, command)
			if err == nil {
				var moved float64
				if moved, err = fioField(out, 0); err == nil && moved == 0 {
					err = errors.New("fio has done nothing")
				}
			}
			verdict := "ok"
			if err != nil {
				verdict = err.Error()
				failed++
			}
			log.Printf("%-10s%5d  %-28s%s", image.name, image.disk.Sector, what, verdict)
			if err != nil && s.process.Ended() {
				return failed, nil
			}
		}
	}
	return failed, nil
}
