package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/examples/account"
	"github.com/actorlog/actorlog/examples/fanout"
	"github.com/actorlog/actorlog/examples/metronome"
)

const (
	// patience is how long a client repeats a call before the world is said to be stuck. The longest fault takes some ten seconds.
	patience = time.Minute
	// tryTimeout is how long it waits for one try: it may be a frozen gateway that it waits for.
	tryTimeout = 4 * time.Second
)

// load is the clients at work, and what they were told.
type load struct {
	t      *testing.T
	w      *world
	client *http.Client
	// over ends the clients: each finishes what it has begun.
	over chan struct{}
	once sync.Once
	wg   sync.WaitGroup
	// slowest call that was answered, nanoseconds.
	slowest atomic.Int64

	counters   []*counter
	registers  []*registers
	totals     []*total
	accounts   []*deposit
	metronomes []int64 // milliseconds between their beats
}

// newLoad is without clients yet.
func newLoad(t *testing.T, w *world) *load {
	l := &load{t: t, w: w, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, over: make(chan struct{})}
	t.Cleanup(l.stop) // when the test has failed, its context has ended the clients
	return l
}

// startLoad returns when all clients are at work.
func startLoad(t *testing.T, w *world) *load {
	l := newLoad(t, w)
	for i := range 3 {
		l.startCounter(name("counter", i))
	}
	for i := range 2 {
		l.startRegisters(i)
	}
	for i := range 3 {
		l.startTotal(i)
	}
	l.startAccounts(3)
	for i := range 3 {
		every := int64(100 + 130*i)
		l.metronomes = append(l.metronomes, every)
		l.must(name("metronome", i)+"/actions/start", fmt.Sprintf(`{"EveryMs":%d,"Beats":1000000}`, every), newKey())
	}
	return l
}

// stop ends the clients, and then, when the counters count no further, their listeners.
func (l *load) stop() {
	l.once.Do(func() { close(l.over) })
	l.wg.Wait()
	for _, c := range l.counters {
		c.awaitListener()
	}
}

// check asks the actors, and says how much was checked.
func (l *load) check() tally {
	l.t.Helper()
	checked := make(tally)
	for _, c := range l.counters {
		l.checkCounter(c, checked)
	}
	for _, r := range l.registers {
		l.checkRegisters(r, checked)
	}
	l.checkTotals(checked)
	l.checkAccounts(checked)
	l.checkMetronomes(checked)
	return checked
}

// loop runs a client until the load is over, with a little rest between two of its steps.
func (l *load) loop(rest time.Duration, step func()) {
	l.wg.Go(func() {
		for {
			select {
			case <-l.over:
				return
			case <-l.t.Context().Done():
				return
			case <-time.After(rest):
				step()
			}
		}
	})
}

// answer to one request.
type answer struct {
	status int
	body   string
	// position of the outcome.
	position string
	err      error
}

func (a answer) String() string { return fmt.Sprintf("%d %s %v", a.status, a.body, a.err) }

func (a answer) ok() bool {
	return a.err == nil && (a.status == http.StatusOK || a.status == http.StatusNoContent)
}

// try makes one request.
func (l *load) try(gateway int, path, body, key string) answer {
	ctx, cancel := context.WithTimeout(l.t.Context(), tryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.w.url(gateway, path), strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := l.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, string(b), res.Header.Get("Actorlog-Position"), err}
}

// do repeats a request until it has an answer, at the other gateway each time: the key has it done once. False is that the test has failed.
func (l *load) do(path, body, key string) (answer, bool) {
	var last answer
	gateway := rand.IntN(2)
	for began := time.Now(); time.Since(began) < patience && l.t.Context().Err() == nil; gateway++ {
		a := l.try(gateway, path, body, key)
		// With 500 it has an outcome too, which does not change.
		if a.ok() || a.err == nil && a.status <= http.StatusInternalServerError {
			l.took(time.Since(began))
			return a, true
		}
		last = a
		l.w.pause(20 * time.Millisecond)
	}
	if l.t.Context().Err() == nil {
		l.t.Errorf("%s with %s and key %q has no answer: %s", path, body, key, last)
	}
	return last, false
}

func (l *load) took(d time.Duration) {
	for slowest := l.slowest.Load(); int64(d) > slowest && !l.slowest.CompareAndSwap(slowest, int64(d)); slowest = l.slowest.Load() {
	}
}

// must is do for what no actor refuses. Empty when the test has failed.
func (l *load) must(path, body, key string) answer {
	a, ok := l.do(path, body, key)
	if ok && !a.ok() {
		l.t.Errorf("%s with %s and key %q is refused: %s", path, body, key, a)
	}
	return a
}

// read asks an actor for all that it knows.
func (l *load) read(actor string, into any) {
	l.t.Helper()
	a := l.must(actor+"/actions/get", "", "")
	require.NoError(l.t, json.Unmarshal([]byte(a.body), into), "%s says %s", actor, a)
}

func newKey() string { return "once-" + strconv.FormatUint(rand.Uint64(), 36) }

// --- totals: actors that ask actors --------------------------------------------

// parts that every total asks.
const parts = 4

// total is what the client of a total had done. Calls failed when brokers refused an append for good: then it is not known which parts
// were reached, as the actor that called was told.
type total struct{ calls, failed, messages int64 }

func (l *load) startTotal(i int) {
	total := new(total)
	l.totals = append(l.totals, total)
	l.loop(30*time.Millisecond, func() {
		switch a, ok := l.do(name("total", i)+"/actions/call", strconv.Itoa(parts), newKey()); {
		case a.ok():
			total.calls++
			if a.body != strconv.Itoa(parts) {
				l.t.Errorf("total %d: %s parts answered", i, a.body)
			}
		case ok && a.status == http.StatusInternalServerError && l.w.refuses:
			total.failed++
		case ok:
			l.t.Errorf("total %d calls its parts: %s", i, a)
		}
		if l.must(name("total", i)+"/actions/message", strconv.Itoa(parts), newKey()).ok() {
			total.messages++
		}
	})
}

func (l *load) checkTotals(checked tally) {
	l.t.Helper()
	for i, total := range l.totals {
		var got fanout.Total
		require.Eventually(l.t, func() bool { // messages may still be under way
			got = fanout.Total{}
			l.read(name("total", i), &got)
			var replies int64
			for _, n := range got.Replies {
				replies += n
			}
			return replies >= parts*total.messages
		}, patience, 100*time.Millisecond, "total %d: a message or a reply is lost", i)
		require.Equal(l.t, total.calls, got.Calls, "total %d", i)
		if total.failed == 0 { // each part answers how often it was called
			require.Equal(l.t, parts*total.calls*(total.calls+1)/2, got.Sum, "total %d: a call took effect twice, or not", i)
		}
		for part := range parts {
			require.Equal(l.t, total.messages, got.Replies[strconv.Itoa(part)], "replies of part %d to total %d", part, i)
		}
		checked["calls between actors"] += int(parts * total.calls)
		if total.failed > 0 {
			checked["calls between actors that failed"] += int(parts * total.failed)
		}
		checked["messages between actors"] += int(2 * parts * total.messages)
	}
	for part := range parts {
		var got fanout.Part
		l.read(name("part", part), &got)
		for i, total := range l.totals {
			called := got.Called[strconv.Itoa(i)]
			require.GreaterOrEqual(l.t, called, total.calls, "calls of part %d by total %d: one is lost", part, i)
			require.LessOrEqual(l.t, called, total.calls+total.failed, "calls of part %d by total %d: one took effect twice", part, i)
			require.Equal(l.t, total.messages, got.Messaged[strconv.Itoa(i)], "messages to part %d from total %d", part, i)
		}
	}
}

// --- accounts: messages that carry something -------------------------------------

// firstDeposit is more than is ever paid.
const firstDeposit = 1_000_000_000

// deposit is what the client of an account had done: to whom it paid how much.
type deposit struct{ paid []int64 }

func (l *load) startAccounts(n int) {
	for i := range n {
		l.must(name("account", i)+"/actions/deposit", strconv.Itoa(firstDeposit), newKey())
	}
	for i := range n {
		from := &deposit{paid: make([]int64, n)}
		l.accounts = append(l.accounts, from)
		l.loop(30*time.Millisecond, func() {
			to, cents := (i+1+rand.IntN(n-1))%n, 1+rand.Int64N(1000)
			order, _ := json.Marshal(account.Order{To: strconv.Itoa(to), Cents: cents}) // plain data
			a, ok := l.do(name("account", i)+"/actions/transfer", string(order), newKey())
			switch {
			case a.ok():
				from.paid[to] += cents
			case ok && !strings.Contains(a.body, "too_many_transfers"): // the others are away
				l.t.Errorf("account %d pays %s: %s", i, order, a)
			}
		})
	}
}

func (l *load) checkAccounts(checked tally) {
	l.t.Helper()
	for i, from := range l.accounts {
		want := int64(firstDeposit)
		for j, other := range l.accounts {
			want += other.paid[i] - from.paid[j]
		}
		require.Eventually(l.t, func() bool {
			var transfers []account.Transfer
			a := l.must(name("account", i)+"/actions/transfers", "", "")
			require.NoError(l.t, json.Unmarshal([]byte(a.body), &transfers), "%s", a)
			for _, t := range transfers {
				if t.Status == account.UnderWay {
					return false
				}
			}
			return true
		}, patience, 100*time.Millisecond, "account %d: a transfer never arrives", i)
		// All receipts are back, and so every payment has arrived: each account is asked after all of them.
		defer func() {
			var state account.Account
			a := l.must(name("account", i)+"/actions/withdraw", "1", newKey())
			require.NoError(l.t, json.Unmarshal([]byte(a.body), &state), "%s", a)
			require.Equal(l.t, want-1, state.Cents, "account %d: money is made or lost", i)
		}()
		checked["accounts"]++
	}
}

// --- metronomes: schedules --------------------------------------------------------

func (l *load) checkMetronomes(checked tally) {
	l.t.Helper()
	for i, every := range l.metronomes {
		healed := time.Now().UnixMilli()
		var m metronome.Metronome
		require.Eventually(l.t, func() bool { // beats that were missed are made up for
			m = metronome.Metronome{}
			l.read(name("metronome", i), &m)
			return len(m.Beats) > 1 && m.Beats[len(m.Beats)-1] >= healed
		}, patience, 100*time.Millisecond, "metronome %d does not beat", i)
		l.must(name("metronome", i)+"/actions/stop", "", newKey())
		require.Zero(l.t, m.Early)
		for n := 1; n < len(m.Beats); n++ {
			require.Equal(l.t, every, m.Beats[n]-m.Beats[n-1], "metronome %d, beat %d: one is missing, or there twice", i, n)
		}
		checked["beats"] += len(m.Beats)
	}
}
