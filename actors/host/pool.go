package host

import "sync"

// maxIdle is how many goroutines without work a pool keeps.
const maxIdle = 256

// pool runs functions in goroutines that are used again. A cell gets a goroutine whenever it has
// work; decoding arguments and states needs a deep stack, and growing a new one each time cost a
// tenth of all CPU.
type pool struct {
	jobs   chan func()
	closed chan struct{}

	mu   sync.Mutex
	idle int
}

func newPool() *pool { return &pool{jobs: make(chan func()), closed: make(chan struct{})} }

// run runs fn in a goroutine: an idle one, if there is one.
func (p *pool) run(fn func()) {
	select {
	case p.jobs <- fn:
	default:
		go p.work(fn)
	}
}

func (p *pool) work(fn func()) {
	for {
		fn()
		p.mu.Lock()
		if p.idle >= maxIdle {
			p.mu.Unlock()
			return
		}
		p.idle++
		p.mu.Unlock()
		select {
		case fn = <-p.jobs:
		case <-p.closed:
			return
		}
		p.mu.Lock()
		p.idle--
		p.mu.Unlock()
	}
}

// close ends the idle goroutines; busy ones end with their work, which nobody waits for: it may be
// an action that is stuck.
func (p *pool) close() { close(p.closed) }
