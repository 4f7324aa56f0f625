package main

// What the machines boot, and a guest that answers commands.

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vmproject/vm/internal/bench/peer"
	"github.com/vmproject/vm/internal/debiandisk"
)

//go:embed guest/init.sh
var initScript []byte

const (
	bootArgs  = peer.PagingWord + " console=ttyS0 quiet panic=-1 rdinit=/bench/init"
	bootLimit = 2 * time.Minute
	workLimit = 3 * time.Minute // of one command
	mark      = "@block "

	debianSize = "768M"
)

var debianPackages = []string{"base-files", "bash", "coreutils", "e2fsprogs", "fio", "mount"}

// guest is everything that is the same for all machines.
type guest struct {
	*peer.Guest
	scratch string // a folder that goes away at the end
	initrd  string
	debian  string // the disk with fio
}

// prepare makes what the machines boot. What takes long is kept in the user's cache folder.
func prepare(ctx context.Context, scratch string) (*guest, error) {
	base, dir, images, err := peer.Default(ctx, "vm-block")
	if err != nil {
		return nil, err
	}
	g := &guest{Guest: base, scratch: scratch, initrd: filepath.Join(scratch, "initrd")}
	if g.debian, err = debiandisk.Make(ctx, dir, images, debianSize, debianPackages...); err != nil {
		return nil, fmt.Errorf("making the disk of Debian's fio: %w", err)
	}
	a, err := g.Archive()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(g.DiskModules(a), a.File("/bench/init", 0o755, initScript)); err != nil {
		return nil, err
	}
	return g, peer.Write(g.initrd, a)
}

// newImage makes a raw image of so many bytes with something in each of them, which is in the host's page cache then.
func newImage(name string, size int64) (string, error) {
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(block)) {
		for i := range block {
			block[i] = byte(i ^ i>>8 ^ int(at>>20))
		}
		if _, err := f.Write(block); err != nil {
			return "", err
		}
	}
	// What is read past the page cache is not to wait for what has not been written back.
	return name, errors.Join(f.Sync(), f.Close())
}

// session is a guest that runs.
type session struct {
	name    string
	process *peer.Process
}

// boot starts a machine, with more arguments. Its disks under test are /dev/vdb and what follows.
func (g *guest) boot(ctx context.Context, m *peer.Machine, disks []peer.RawDisk, more ...string) (*session, error) {
	p, err := peer.Start(append(m.Boot(peer.Boot{Kernel: g.Kernel, Initrd: g.initrd, Append: bootArgs, Disk: g.debian, More: disks}), more...))
	if err != nil {
		return nil, err
	}
	s := &session{name: m.Name, process: p}
	if _, _, err := p.Line(ctx, bootLimit, mark+"ready"); err != nil {
		p.Close()
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	return s, nil
}

func (s *session) close() { _ = s.process.Close() } // it may have ended by itself

// do runs a command and returns its output.
func (s *session) do(ctx context.Context, command string) (string, error) {
	if err := s.process.Send(command + "\n"); err != nil {
		return "", err
	}
	end := "\n" + mark + "end "
	text, _, err := s.process.Await(ctx, workLimit, func(text []byte) int {
		if i := strings.Index(string(text), end); i >= 0 {
			if n := strings.IndexByte(string(text[i+1:]), '\n'); n >= 0 {
				return i + 1 + n + 1
			}
		}
		return -1
	})
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", s.name, command, err)
	}
	_, text, _ = strings.Cut(text, mark+"begin")
	out, status, _ := strings.Cut(text, end)
	out = strings.TrimSpace(strings.ReplaceAll(out, "\r", ""))
	if n, err := strconv.Atoi(strings.TrimSpace(status)); err != nil || n != 0 {
		return "", fmt.Errorf("%s: %s: status %s: %s", s.name, command, strings.TrimSpace(status), out)
	}
	return out, nil
}
