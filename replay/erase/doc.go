// Package erase erases one actor, and reports what is left of it where: in the topics and the archive before them, in local stores of workers, and in a projection.
//
// Erasing is destroying the keys with which the actor's records are sealed; eventlog/sealed says in which order. This package has the actor destroyed by recorded actions, waits, and
// then looks for itself: it tries to read all that there is of the actor, wherever it is kept, and trusts nobody's word that it cannot be read.
//
//	look -> destroy the actor -> retire its keys -> wait -> destroy the actor again -> destroy the keys -> wait for projectors -> look
//
// Nothing is begun when one of the places cannot be looked into. Once the keys are destroyed nothing takes that back, so what cannot be looked into then is part of the
// report. All of it can be done again, to look again: an actor that is erased stays so.
package erase
