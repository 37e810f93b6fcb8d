// Package tasks is the pattern "coordinator and data actors": a project keeps the list of its tasks, and each
// task is an actor of its own with all that belongs to it.
//
// Use it when a thing has parts that are worked on apart from each other but listed together: a project and
// its tasks, a shop and its orders, a lobby and its games. The coordinator answers "which are there?" and holds
// no more of each part than a list shows; who knows a part goes to it directly, so the parts do not wait for the
// coordinator or for each other. Do not use it when the whole is small and always read together (then it is one actor), nor when
// parts are made or changed hundreds of times a second: each change is a message to the one coordinator (examples/votes
// spreads such a load).
//
// What it shows besides:
//
//   - A call where the caller needs the answer, a message where it does not. The project calls the task that it creates, so that its
//     id is good the moment somebody gets it. Tasks send what changed, and never call: a task that waits for
//     its project while the project waits for it would be refused.
//   - The end of an actor. A task destroys itself and says so in OnDestroy, which runs whoever ends it.
//   - Schedules. A task is overdue at its due date, which can change; a project has a digest every morning in its time zone.
//   - A queue with a loop. Files are taken one after the other, however many come at once, and put into a store outside of
//     the log by a recorded step. What has come waits through sleep and crashes.
//
// # By hand
//
//	actorlog dev
//	curl -X PUT $URL/actors/project/site -d '{"zone": "Europe/Berlin"}'
//	curl $URL/actors/project/site/actions/add -d '{"title": "Write the text", "due": "2030-01-31T12:00:00Z"}'   # answers with the task
//	curl $URL/actors/task/site/$ID/state
//	curl $URL/actors/task/site/$ID/actions/complete -X POST
//	curl $URL/actors/project/site/actions/list -X POST
//	curl -X DELETE $URL/actors/task/site/$ID
//	curl -N $URL/actors/project/site/events
//
// URL is http://127.0.0.1:6420, and ID the id that add answered. Files go through the queue, so from Go:
//
//	receipt, err := tasks.Files.SendAndWait(ctx, tasks.TaskKind.Get(client, "site", id), tasks.File{Name: "a.txt", Content: text})
package tasks
