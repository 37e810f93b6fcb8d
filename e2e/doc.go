// Package e2e holds tests of the built programs as their users run them: real processes, real
// sockets, SIGKILL. It has no code of its own.
package e2e
