package main

// mutation breaks one rule.
type mutation struct {
	name  string
	edits []edit
	// metamorphic: TestMetamorphic has to notice, not TestSeeds.
	metamorphic bool
}

// edit replaces a text that stands in a file exactly once. A mutation has several where the rule is kept in several places, and not
// more than one for a file.
type edit struct{ file, text, with string }

// mutations are the rules that the promises rest on. Whoever rewrites one of these places breaks it here anew.
var mutations = []mutation{
	{"epochs of the fence: what an earlier owner writes counts", []edit{{
		"actors/machine/fence.go",
		"f.epoch == NoEpoch || epoch != f.epoch {", "f.epoch == NoEpoch {",
	}}, false},
	{"places of the fence: what builds on a lost record counts", []edit{{
		"actors/machine/fence.go",
		"return f.follows(place) && f.certain", "return f.certain",
	}}, false},
	{"refs: an action that has its outcome gets another", []edit{{
		"actors/machine/answers.go",
		"if ref <= a.LastRef {\n\t\treturn true", "if ref <= a.LastRef {\n\t\treturn false",
	}}, false},
	{"idempotency keys: a repeat is carried out", []edit{{
		"actors/machine/step.go",
		"if r, ok := a.recall(action.IdempotencyKey); ok {", "if r, ok := a.recall(action.IdempotencyKey); ok && false {",
	}}, false},
	{"origins: a request of another actor that comes again is carried out", []edit{{
		"actors/machine/step.go",
		"if offset, ok := a.askedBefore(o); ok {", "if offset, ok := a.askedBefore(o); ok && false {",
	}}, false},
	{"settled: a request whose answer is forgotten is carried out when it comes late", []edit{{
		"actors/machine/step.go",
		"if a.late(o) {", "if a.late(o) && false {",
	}}, false},
	{"rollback: what a failed action did to the state stays in memory", []edit{{
		"actors/actor/job.go",
		"r.done.Err = err\n\t\treturn r.done\n\t}\n\tr.done.Live = r.live", "r.done.Err = err\n\t}\n\tr.done.Live = r.live",
	}, {
		"actors/host/execution.go",
		"if !c.head.Alive || eff.Outcome.Error != nil {\n\t\tc.live = nil", "if !c.head.Alive {\n\t\tc.live = nil",
	}}, false},
	{"rollback: what a failed action did to the state, and sent, is recorded", []edit{{
		"actors/actor/job.go",
		"r.done.Err = err\n\t\treturn r.done\n\t}\n\tr.done.Live = r.live",
		"r.done.Base, _ = r.d.Save(r.live)\n\t\tr.done.BaseEffects, r.done.Err = r.c.effects, err\n\t\treturn r.done\n\t}\n\tr.done.Live = r.live",
	}}, false},
	{"low watermark: a checkpoint passes over actions that are not answered", []edit{{
		"actors/host/checkpoint.go",
		"ActionsOffset: s.window.Low(),", "ActionsOffset: s.nextRead,",
	}}, false},
	{"outbox: messages of outcomes after the checkpoint are forgotten", []edit{{
		"actors/host/prefix.go",
		"if len(o.Sends) > 0 {", "if len(o.Sends) > 0 && false {",
	}}, false},
	{"outbox: messages of outcomes before the checkpoint are forgotten", []edit{{
		"actors/host/recover.go",
		"range mark.GetUndelivered() {", "range mark.GetUndelivered()[:0] {",
	}}, false},
	{"copies: an action that the transport wrote twice is carried out twice", []edit{{
		"actors/machine/window.go",
		"if sequence <= w.read[gateway].sequence {", "if sequence < w.read[gateway].sequence-1000 {",
	}}, false},
	{"gateway: outcomes that do not count are delivered", []edit{{
		"actors/remote/follow.go",
		"counts = s.fence.Admits(schemas.PlaceOf(r.Value))", "_ = s.fence.Admits(schemas.PlaceOf(r.Value))\n\t\tcounts = true",
	}}, false},
	{"hash chain: an owner forgets what was recorded since the checkpoint", []edit{{
		"actors/host/prefix.go",
		"p.trail.Take(r)\n", "\n",
	}}, false},
	{"hash chain: a checkpoint notes the head of what is not acknowledged", []edit{{
		"actors/host/checkpoint.go",
		"Head: s.ackChain.Head(),", "Head: s.chain.Head(),",
	}}, false},
	{"schedules: a firing counts although the schedule has moved on", []edit{{
		"actors/machine/schedule.go",
		"s == nil || s.DueUnixMs != f.DueUnixMs {", "s == nil {",
	}}, false},
	{"steps: a recorded step is forgotten with its worker", []edit{{
		"actors/host/prefix.go",
		"a.ApplyStep(r.Offset, step)", "_ = step",
	}}, false},
	{"snapshots: steps of an action under way are not restored", []edit{{
		"actors/machine/actor.go",
		"Settled: s.Settled, Steps: s.Steps,", "Settled: s.Settled,",
	}}, true},
	{"snapshots: steps of an action that creates its actor are not written", []edit{{
		"actors/host/checkpoint.go",
		" && len(a.Steps) == 0 &&", " &&",
	}}, true},
	{"standbys: what one has put into its store only is in no checkpoint", []edit{{
		"actors/host/recover.go",
		"for hash := range p.touched {", "for hash := range p.forgotten {",
	}}, false},
	{"standbys: a snapshot replaces what one knows already", []edit{{
		"actors/host/prefix.go",
		"ok && snapshot.LastOffset < at {", "ok && false && snapshot.LastOffset < at {",
	}}, false},
	{"wakes: what an action says is lost if its actor woke for it", []edit{{
		"actors/machine/step.go",
		"o.ResultJson = done.Result\n", "o.ResultJson = done.Result\n\tif done.Woke && !done.Created {\n\t\tdone.Effects.Broadcasts = nil\n\t}\n",
	}}, true},
}
