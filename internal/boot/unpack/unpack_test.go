package unpack

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/vmproject/vm/internal/testtool"
)

// pack compresses data with the library's own writer.
func pack(t testing.TB, f Format, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	var err error
	switch f {
	case Gzip:
		w = gzip.NewWriter(&buf)
	case Zstd:
		w, err = zstd.NewWriter(&buf)
	case XZ:
		w, err = xz.NewWriter(&buf)
	case LZMA:
		w, err = lzma.NewWriter(&buf)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

var sample = []byte(strings.Repeat("kernel text ", 10_000))

func TestRoundTrip(t *testing.T) {
	for _, f := range []Format{Gzip, Zstd, XZ, LZMA} {
		t.Run(f.String(), func(t *testing.T) {
			packed := pack(t, f, sample)
			if got := Detect(packed); f != LZMA && got != f {
				t.Errorf("Detect = %v, want %v", got, f)
			}
			got, err := ReadAll(f, bytes.NewReader(packed), uint64(len(sample)))
			if err != nil || !bytes.Equal(got, sample) {
				t.Fatalf("ReadAll: %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	for _, f := range []Format{Gzip, Zstd, XZ} {
		packed := pack(t, f, sample)
		for _, n := range []int{7, 20, len(packed) / 2, len(packed) - 1} {
			if _, err := ReadAll(f, bytes.NewReader(packed[:n]), 1<<20); !errors.Is(err, ErrTruncated) {
				t.Errorf("%v cut to %d of %d bytes: %v, want ErrTruncated", f, n, len(packed), err)
			}
		}
	}
}

func TestDamaged(t *testing.T) {
	for _, f := range []Format{Gzip, Zstd, XZ} {
		packed := bytes.Clone(pack(t, f, sample))
		packed[len(packed)/2] ^= 0x55
		_, err := ReadAll(f, bytes.NewReader(packed), 1<<20)
		if err == nil || !strings.Contains(err.Error(), f.String()) {
			t.Errorf("%v with a flipped byte: %v", f, err)
		}
	}
}

func TestBombIsRefused(t *testing.T) {
	for _, f := range []Format{Gzip, Zstd, XZ} {
		packed := pack(t, f, make([]byte, 4<<20))
		_, err := Bytes(packed, 1<<16)
		var limit *LimitError
		if !errors.As(err, &limit) || limit.Limit != 1<<16 {
			t.Errorf("%v: %d bytes that unpack to 4 MiB: %v", f, len(packed), err)
		}
	}
}

func TestHugeDictionaryIsRefused(t *testing.T) {
	packed := bytes.Clone(pack(t, XZ, sample))
	// Behind the stream header of 12 bytes: size, flags, filter 0x21 with one byte of properties, which is the dictionary.
	if !bytes.Equal(packed[14:16], []byte{0x21, 1}) {
		t.Fatalf("block header % x", packed[12:24])
	}
	packed[16] = 36
	if _, err := Bytes(packed, 1<<20); err == nil || !strings.Contains(err.Error(), "dictionary of 1024 MiB") {
		t.Errorf("a dictionary of 1 GiB: %v", err)
	}
}

func TestUnsupportedFormatIsNamed(t *testing.T) {
	for name, head := range map[string]string{"lz4": "\x02\x21\x4c\x18....", "lzop": "\x89LZO\x00\r\n\x1a\n"} {
		if _, err := Bytes([]byte(head), 1<<20); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRawIsReturnedAsItIs(t *testing.T) {
	got, err := Bytes([]byte("\x7fELF"), 4)
	if err != nil || string(got) != "\x7fELF" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Bytes([]byte("12345"), 4); err == nil {
		t.Error("5 bytes fit into 4")
	}
}

// TestTools reads what the tools that pack real kernels and modules write.
func TestTools(t *testing.T) {
	for _, tool := range [][]string{
		{"gzip", "-9"}, {"zstd", "-19", "-q"}, {"zstd", "-22", "--ultra", "-q"}, {"xz", "-9e"},
		{"xz", "--check=crc32"}, {"xz", "-T2", "--block-size=16384"}, {"bzip2"},
	} {
		t.Run(strings.Join(tool, " "), func(t *testing.T) {
			testtool.Find(t, tool[0], map[string]string{"gzip": "gzip", "zstd": "zstd", "xz": "xz-utils", "bzip2": "bzip2"}[tool[0]])
			cmd := exec.Command(tool[0], append(tool[1:], "-c")...)
			cmd.Stdin = bytes.NewReader(sample)
			packed, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			got, err := Bytes(packed, 1<<20)
			if err != nil || !bytes.Equal(got, sample) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// FuzzBytes feeds every decoder damaged files: whatever they do, they end, and within their limit.
func FuzzBytes(f *testing.F) {
	for _, format := range []Format{Gzip, Zstd, XZ} {
		f.Add(pack(f, format, sample[:500]))
	}
	f.Add([]byte("BZh91AY&SY"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 16
		if out, err := Bytes(data, limit); err == nil && len(out) > limit {
			t.Fatalf("%d bytes passed a limit of %d", len(out), limit)
		}
	})
}
