package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// healthcheckTimeout bounds a health check.
const healthcheckTimeout = 5 * time.Second

// healthcheckUsage is what `PROGRAM healthcheck --help` says.
const healthcheckUsage = `Usage: %s healthcheck [URL]

Asks the program that runs here whether it is ready, and ends with 0 or 1: for images without a shell. URL is where it is asked, by
default /readyz of ACTORLOG_OPS_LISTEN.
`

// healthcheck is the subcommand of that name, which all programs have.
func healthcheck(ctx context.Context, program string, args []string, out io.Writer) error {
	var url string
	switch {
	case len(args) > 1 || len(args) == 1 && strings.HasPrefix(args[0], "-"):
		fmt.Fprintf(out, healthcheckUsage, program)
		if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
			return nil
		}
		return fmt.Errorf("healthcheck takes one URL at most")
	case len(args) == 1:
		url = args[0]
	default:
		listen := os.Getenv("ACTORLOG_OPS_LISTEN")
		host, port, err := net.SplitHostPort(listen)
		if err != nil {
			return fmt.Errorf("there is nothing to ask: give a URL, or the --ops-listen of the program as ACTORLOG_OPS_LISTEN (it is %q)", listen)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		url = "http://" + net.JoinHostPort(host, port) + "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking whether it is ready: %w", err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // what there is of it
	text := strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, resp.Status, text)
	}
	fmt.Fprintln(out, text)
	return nil
}
