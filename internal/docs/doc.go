// Package docs holds the README and the documentation of the packages to what is
// so: that programs run, commands work, names and links lead somewhere, and that
// everything public is shown by an example.
package docs
