package gooselock_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"sync"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// A versions table is all that goose needs of a database whose migrations are Go functions.
type versions struct {
	database.Store // nil, because its other methods are not called
	mu             sync.Mutex
	applied        []int64 // nil means that the table does not exist
}

func (*versions) Tablename() string { return "versions" }

func (v *versions) CreateVersionTable(context.Context, database.DBTxConn) error {
	return nil
}

func (v *versions) TableExists(context.Context, database.DBTxConn) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.applied != nil, nil
}

func (v *versions) Insert(_ context.Context, _ database.DBTxConn, r database.InsertRequest) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.applied = append(v.applied, r.Version)
	return nil
}

func (v *versions) ListMigrations(context.Context, database.DBTxConn) (list []*database.ListMigrationsResult, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, n := range slices.Backward(v.applied) {
		list = append(list, &database.ListMigrationsResult{Version: n, IsApplied: true})
	}
	return list, nil
}

func (v *versions) GetLatestVersion(context.Context, database.DBTxConn) (int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Max(v.applied), nil
}

// provider returns a goose provider with one migration.
func provider(v *versions, locker goose.ProviderOption, migrate func(ctx context.Context) error) *goose.Provider {
	up := &goose.GoFunc{RunTx: func(ctx context.Context, _ *sql.Tx) error { return migrate(ctx) }}
	p, err := goose.NewProvider("", sql.OpenDB(nothing{}), nil, goose.WithStore(v), locker,
		goose.WithLogger(goose.NopLogger()), goose.WithGoMigrations(goose.NewGoMigration(1, up, nil)))
	if err != nil {
		panic(err)
	}
	return p
}

// nothing is an empty database.
type nothing struct{}

func (nothing) Connect(context.Context) (driver.Conn, error) { return nothing{}, nil }
func (nothing) Driver() driver.Driver                        { return nil }
func (nothing) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (nothing) Begin() (driver.Tx, error)                    { return nothing{}, nil }
func (nothing) Commit() error                                { return nil }
func (nothing) Rollback() error                              { return nil }
func (nothing) Close() error                                 { return nil }
