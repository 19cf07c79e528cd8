package certmagiclock_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// An authority issues certificates, and counts them.
type authority struct {
	key    *ecdsa.PrivateKey
	issued atomic.Int64
}

func (a *authority) IssuerKey() string { return "authority" }

func (a *authority) Issue(_ context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(a.issued.Add(1)),
		DNSNames:     csr.DNSNames,
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, csr.PublicKey, a.key)
	return &certmagic.IssuedCertificate{Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, err
}

// TestObtain runs certmagic itself with five lockers at once.
func TestObtain(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		a, folder := &authority{key: key}, files{&certmagic.FileStorage{Path: t.TempDir()}}
		var fleet sync.WaitGroup
		for range 5 {
			var cfg *certmagic.Config
			cache := certmagic.NewCache(certmagic.CacheOptions{
				GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return cfg, nil },
				Logger:           zap.NewNop(),
			})
			t.Cleanup(cache.Stop)
			cfg = certmagic.New(cache, certmagic.Config{
				Storage: Storage{newLocker(t, rdb), folder},
				Issuers: []certmagic.Issuer{a},
				Logger:  zap.NewNop(),
			})
			fleet.Go(func() {
				if err := cfg.ObtainCertSync(t.Context(), "example.com"); err != nil {
					t.Error(err)
				}
			})
		}
		fleet.Wait()
		if n := a.issued.Load(); n != 1 {
			t.Errorf("%d certificates were issued", n)
		}
		if n := rdb.Exists(t.Context(), "certmagic:issue_cert_example.com").Val(); n != 0 {
			t.Error("the lock is still held")
		}
	})
}
