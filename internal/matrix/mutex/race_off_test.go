//go:build !race

package mutex_test

const race = false
