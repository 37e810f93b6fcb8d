// Package verify runs recorded actions again, on the code at hand, and tells where it would have done something else: before that code goes out.
//
// Every outcome holds what was asked, and the events before it make the actor as it was. That is all that an action depends on: its time, dice and ids come from the
// record, what it calls was answered in the log, and its steps ([actor.Run]) are recorded. So each outcome is made again by the rules that made it (package
// machine and the kind's own), and the two are compared: error, state, result, broadcasts, schedules, sends, connections, and all else that an outcome says.
// Nothing is asked of other actors, no step runs, and nothing is written.
//
//	events --> before, outcome --Step, Do, Step--> outcome' --compare--> same | differs | not checked
//
// Each outcome is checked by itself, on the state that is recorded before it: one difference does not make others after it.
//
// # What cannot be checked
//
// An outcome is counted as not checked, with the reason, and never as the same, if nobody can tell: the action timed out, or was set aside or too large, which is the
// worker's doing; its contents were erased; it differs, and what it looked at is not recorded (vars, headers that have expired, the worker's name), or an answer to it has expired.
// An action that looks at such things and comes to the same outcome is the same.
//
// What an action does outside of the log, and not in a step, it does again: verify runs the code.
//
// Loops ([actor.OnRun]) are not run: what they ask of actors is recorded as actions.
package verify
