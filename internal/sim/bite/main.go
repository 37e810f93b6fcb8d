// Command bite shows that the simulation bites: it breaks one rule after the other, and looks for the first seed that notices.
//
//	go run ./internal/sim/bite              every rule
//	go run ./internal/sim/bite -run outbox  those whose name matches
//
// The sources stay as they are: the broken file is laid over its original with the -overlay of the go command. It fails if a
// rule can be broken unnoticed, and if a mutation does not fit the sources any more, so that it cannot rot.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bite:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bite", flag.ContinueOnError)
	seeds := flags.Int("seeds", 3000, "how many seeds to try before a mutation counts as unnoticed")
	pattern := flags.String("run", "", "break only the rules whose name this regular expression matches")
	quick := flags.Bool("quick", false, "leave out what takes TestMetamorphic to notice: ends within a minute")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("reading -run: %w", err)
	}
	dir, err := os.MkdirTemp("", "actorlog-bite-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var failed []error
	for _, m := range mutations {
		if !wanted.MatchString(m.name) || (*quick && m.metamorphic) {
			continue
		}
		began := time.Now()
		seed, said, err := m.try(ctx, dir, *seeds)
		took := time.Since(began).Round(100 * time.Millisecond)
		switch {
		case ctx.Err() != nil:
			return errors.New("interrupted")
		case err != nil:
			fmt.Fprintf(os.Stdout, "FAIL %s (%v)\n     %v\n", m.name, took, err)
			failed = append(failed, fmt.Errorf("%s: %w", m.name, err))
		default:
			fmt.Fprintf(os.Stdout, "seed %-6s %s (%v)\n            %.160s\n", seed, m.name, took, said)
		}
	}
	return errors.Join(failed...)
}

// try runs the simulation with a rule broken, and returns the seed that notices and what it says.
func (m mutation) try(ctx context.Context, dir string, seeds int) (seed, said string, err error) {
	overlay, err := m.overlay(dir)
	if err != nil {
		return "", "", err
	}
	args := []string{"test", "-count=1", "-vet=off", "-timeout=3m", "-overlay", overlay, "./internal/sim", "-run"}
	if m.metamorphic {
		args = append(args, "TestMetamorphic", "-failfast", "-args", "-scripts", "5")
	} else {
		args = append(args, "TestSeeds", "-args", "-seeds", strconv.Itoa(seeds))
	}
	test := exec.CommandContext(ctx, "go", args...)
	out, err := test.CombinedOutput()
	if err == nil {
		return "", "", fmt.Errorf("none of %d seeds notices", seeds)
	}
	return caught(string(out))
}

// A seed that fails says how it is run again, then what is wrong. One that panics or never ends says less.
var (
	again = regexp.MustCompile(`-seed=(\d+)\n\s*(.*)`)
	ended = regexp.MustCompile(`(?:TestSeeds|TestMetamorphic)/(\d+)`)
	why   = regexp.MustCompile(`(?m)(?:^panic:|^fatal error:|Messages:) *(.*)`)
)

func caught(out string) (seed, said string, err error) {
	if found := again.FindStringSubmatch(out); found != nil {
		return found[1], found[2], nil
	}
	reason := why.FindStringSubmatch(out)
	if found := ended.FindStringSubmatch(out); found != nil && reason != nil {
		return found[1], reason[1], nil
	}
	return "", "", fmt.Errorf("the simulation did not run: %s", out)
}

// overlay writes the broken files, and returns the file that tells the go command about them.
func (m mutation) overlay(dir string) (string, error) {
	replaced := make(map[string]string)
	for i, e := range m.edits {
		original, err := filepath.Abs(e.file)
		if err != nil {
			return "", err
		}
		text, err := os.ReadFile(original)
		if err != nil {
			return "", fmt.Errorf("run it at the root of the module: %w", err)
		}
		if n := strings.Count(string(text), e.text); n != 1 {
			return "", fmt.Errorf("%q stands %d times in %s, and not once: break the rule anew where it is now", e.text, n, e.file)
		}
		broken := filepath.Join(dir, fmt.Sprintf("broken%d.go", i))
		if err := os.WriteFile(broken, []byte(strings.Replace(string(text), e.text, e.with, 1)), 0o600); err != nil {
			return "", err
		}
		replaced[original] = broken
	}
	list, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}
