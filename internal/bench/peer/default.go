package peer

// The default guest, for commands that compare machines with it.

import (
	"context"
	"os"
	"path/filepath"

	"github.com/vmproject/vm/internal/guestimage"
)

// Default is vm's default image, which is obtained if it is not there, with a folder of the user's cache for what the caller keeps, and the one that images are in.
func Default(ctx context.Context, cache string) (g *Guest, dir, images string, err error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return nil, "", "", err
	}
	dir = filepath.Join(user, cache)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", "", err
	}
	store, err := guestimage.Open("")
	if err != nil {
		return nil, "", "", err
	}
	image, err := store.Ensure(ctx, guestimage.DefaultName, guestimage.PullOptions{})
	if err != nil {
		return nil, "", "", err
	}
	g, err = FromImage(store, image)
	return g, dir, store.Dir(), err
}
