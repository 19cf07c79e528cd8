package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// masters is how many a cluster has.
const masters = 3

// clusterRow measures another row on a cluster.
type clusterRow struct{ row }

// newClusterRow reads a shape such as own-64 or hot-4x8.
func newClusterRow(name, shape string) (row, error) {
	switch word, shape, _ := strings.Cut(shape, "-"); word {
	case "own":
		n, err := size(shape, 64)
		return clusterRow{&own{name: name, goroutines: n, cluster: true, results: results{}}}, err
	case "hot":
		r, err := newHot(name, shape)
		return clusterRow{r}, err
	}
	return nil, fmt.Errorf("%q is not measured on a cluster", shape)
}

func (r clusterRow) round(ctx context.Context, b *bench, n int) error {
	if b.cluster == nil {
		c, err := redistest.LaunchCluster(filepath.Join(b.dir, "cluster"), masters)
		if err != nil {
			return err
		}
		b.cluster = newCluster(c)
	}
	single := b.server
	defer func() { b.server = single }()
	b.server = b.cluster
	return r.row.round(ctx, b, n)
}

// endCluster ends the cluster, if a row has started it.
func (b *bench) endCluster() {
	if b.cluster == nil {
		return
	}
	b.cluster.hangUp()
	b.cluster.Kill()
	for _, peer := range b.cluster.peers {
		peer.Kill()
	}
}
