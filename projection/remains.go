package projection

// Remains is what one table of a projection has of an actor.
type Remains struct {
	Table string `json:"table"`
	// Rows of the actor, as they are on the disk: those that others replace included.
	Rows int64 `json:"rows"`
	// Open is how many of them have contents that are to be gone.
	Open int64 `json:"open"`
	// Canary is how many rows of the actor have the text that was looked for, Elsewhere how many others.
	Canary    int64 `json:"canary"`
	Elsewhere int64 `json:"elsewhere"`
	// Mutations that are under way. Replaced parts of the table, which cannot be looked into, stay on the disk until the server deletes them, Detached ones until somebody does.
	Mutations int64 `json:"mutations"`
	Replaced  int64 `json:"replaced"`
	Detached  int64 `json:"detached"`
	// ReplacedFor is for how many seconds at most the server keeps them.
	ReplacedFor int64 `json:"replacedForSeconds"`
}
