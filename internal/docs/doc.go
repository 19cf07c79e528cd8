// Package docs has the pages that the README links to, and tests of all of them. The tests
// check that programs compile, commands and links work, names and figures exist, and that
// each public method has an example.
package docs
