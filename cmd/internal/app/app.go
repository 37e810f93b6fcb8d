// Package app is what the programs of actorlog have in common: flags, logs, signals, and the
// wiring of brokers, worker and gateway. It is the only package besides cmd that names adapters.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Program is a command line: kong fills it from flags and environment.
type Program interface {
	// Run works until ctx ends and then stops in peace.
	Run(ctx context.Context, log *zap.Logger) error
}

// Log flags, embedded by every program.
type Log struct {
	LogLevel  string           `help:"Least level to log: debug, info, warn or error." enum:"debug,info,warn,error" default:"info" env:"ACTORLOG_LOG_LEVEL"`
	Version   kong.VersionFlag `help:"Say which version this is."`
	LogFormat string           `help:"How to log: console (for people), json, or auto (console on a terminal)." enum:"auto,console,json" default:"auto" env:"ACTORLOG_LOG_FORMAT"`
}

// Main parses the command line into cli and runs it until SIGINT or SIGTERM; a second signal ends
// it at once. With "healthcheck" as first argument it asks the program that runs already. It does not return.
func Main(name, description string, cli any, log *Log) {
	if len(os.Args) > 1 && os.Args[1] == "healthcheck" { // not a command of kong's: the flags of most programs are at the root
		if err := healthcheck(context.Background(), name, os.Args[2:], os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	parser, err := kong.New(cli,
		kong.Name(name), kong.Description(description), kong.ShortUsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Vars{"version": Version()},
	)
	if err != nil {
		panic(err) // the tags of a flag are wrong: the program never works
	}
	command, err := parser.Parse(os.Args[1:])
	parser.Stdout = os.Stderr // how it is used, after an error: what reads the output of a command must not take that for it
	parser.FatalIfErrorf(err)

	logger := log.New(os.Stderr)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the next signal kills
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run(logger)
	_ = logger.Sync() // a terminal cannot be synced
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(exitStatus(err))
	}
	os.Exit(0)
}

// exitStatus is 1, if the error has none of its own.
func exitStatus(err error) int {
	var own interface{ ExitStatus() int }
	if errors.As(err, &own) {
		return own.ExitStatus()
	}
	return 1
}

// New makes the logger.
func (l Log) New(w io.Writer) *zap.Logger {
	level := zap.InfoLevel
	_ = level.Set(l.LogLevel) // the flag's enum has checked it
	console := l.LogFormat == "console"
	if f, ok := w.(*os.File); ok && l.LogFormat == "auto" {
		info, err := f.Stat()
		console = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	j := zap.NewProductionEncoderConfig()
	j.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoder := zapcore.NewJSONEncoder(j)
	if console {
		c := zap.NewDevelopmentEncoderConfig()
		c.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		c.EncodeLevel = zapcore.CapitalColorLevelEncoder
		c.CallerKey = zapcore.OmitKey
		encoder = zapcore.NewConsoleEncoder(c)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level))
}

// instance is a name of this process among those of its program: the host's, which in a container is its own.
func instance() string {
	host, err := os.Hostname()
	if err != nil {
		return strconv.Itoa(os.Getpid())
	}
	return host
}

// release is set by the linker: .goreleaser.yaml, Dockerfile.
var release string

// Version of the build: that of the release, the module's, or the commit it was built from.
func Version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "dev"
}
