package main

// The kinds of images.

import "github.com/vmproject/vm/internal/storage"

// kind is one: how the image is made, how vm opens it, and how the guest writes.
type kind struct {
	name    string
	format  string
	cache   string
	sector  int   // bytes
	cluster int64 // of qcow2, bytes; 0 is the format's 64 KiB
	version int   // of qcow2; 0 is 3
	backing bool  // over a raw file that holds something
	direct  bool  // the guest writes past its page cache, sector by sector, and otherwise whole pages
	ext4    bool  // a file system in it
}

// kinds are all of them. Small clusters have many tables, and so many pointers that can be wrong.
var kinds = []kind{
	{name: "raw 512", format: storage.FormatRaw, cache: storage.CacheWriteback, sector: 512, direct: true},
	{name: "qcow2 64K", format: storage.FormatQcow2, cache: storage.CacheWriteback, sector: 512, direct: true},
	{name: "qcow2 64K over raw", format: storage.FormatQcow2, cache: storage.CacheWriteback, sector: 512, backing: true, direct: true},
	{name: "ext4 on qcow2", format: storage.FormatQcow2, cache: storage.CacheWriteback, sector: 512, ext4: true},
	{name: "raw 4096 none", format: storage.FormatRaw, cache: storage.CacheNone, sector: 4096, direct: true},
	{name: "qcow2 4K none", format: storage.FormatQcow2, cache: storage.CacheNone, sector: 4096, cluster: 4 << 10},
	{name: "qcow2 4K over raw, none", format: storage.FormatQcow2, cache: storage.CacheNone, sector: 4096, cluster: 4 << 10, backing: true, direct: true},
	{name: "ext4 on raw", format: storage.FormatRaw, cache: storage.CacheWriteback, sector: 4096, ext4: true},
	{name: "raw 4096 writethrough", format: storage.FormatRaw, cache: storage.CacheWritethrough, sector: 4096},
	{name: "qcow2 64K writethrough", format: storage.FormatQcow2, cache: storage.CacheWritethrough, sector: 4096, direct: true},
	{name: "qcow2 v2 512 over raw", format: storage.FormatQcow2, cache: storage.CacheWriteback, sector: 512, cluster: 512, version: 2, backing: true, direct: true},
	{name: "ext4 on qcow2 none", format: storage.FormatQcow2, cache: storage.CacheNone, sector: 4096, cluster: 4 << 10, ext4: true},
}
