// The soak does random harm, from a seed, to processes that share locks, to their
// servers and to the network in between, for as long as it is told to, and checks all
// the while what must hold nevertheless. The same workers, faults and checks can be
// turned on other libraries, to see that they find what is known of those.
//
// It is a module of its own, so that peers never become dependencies of baton's
// users. See README.md.
package main
