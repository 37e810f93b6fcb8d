package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
)

type topicsCmd struct {
	List topicsList `cmd:"" default:"withargs" help:"List the topics and their settings. Makes none."`
	Make topicsMake `cmd:"" help:"Make the topics that are missing, as every program does when it may."`
	ACLs topicsACLs `cmd:"" name:"acls" help:"Print the commands that give each program the rights it needs and no more, or give them."`
}

// onTopics is how the subcommands reach the brokers.
type onTopics struct {
	app.Brokers `group:"Brokers"`
	app.Topics  `group:"Brokers"`
}

type topicsList struct{ onTopics }

// Run implements the command.
func (c *topicsList) Run(ctx context.Context, log *zap.Logger) error {
	cluster, _, err := c.Inspect(ctx, c.Topics, log)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tPARTITIONS\tREPLICAS\tIN SYNC\tPOLICY\tRETENTION MS\tMAX BYTES")
	for _, t := range cluster.Topics {
		if t.Err != nil {
			fmt.Fprintf(w, "%s\t%v\n", t.Name, t.Err)
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%s\n", t.Name, t.Partitions, t.Replicas, t.Partitions-len(t.Lagging),
			t.Configs["cleanup.policy"], t.Configs["retention.ms"], t.Configs["max.message.bytes"])
	}
	return w.Flush()
}

type topicsMake struct{ onTopics }

// Run implements the command.
func (c *topicsMake) Run(ctx context.Context, log *zap.Logger) error {
	l, err := c.Open(ctx, c.Topics, "cli", log)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Printf("There are the topics of %s, with %d partitions.\n", c.Prefix, l.Partitions())
	return nil
}

type topicsACLs struct {
	onTopics
	Tool  string   `help:"Whose commands: kafka (kafka-acls.sh) or rpk (Redpanda)." enum:"kafka,rpk" default:"kafka"`
	Role  []string `help:"Only of these programs: gateway, worker, projector, operator. Default: all."`
	User  string   `help:"User of a program, with {role} in the place of its name." default:"actorlog-{role}"`
	Apply bool     `help:"Give the rights instead, with --sasl-user, who must be allowed to."`
}

// Run implements the command.
func (c *topicsACLs) Run(ctx context.Context, log *zap.Logger) error {
	var rights []kafkalog.Right
	for _, role := range c.Role {
		if !slices.Contains(kafkalog.Roles(), kafkalog.Role(role)) {
			return fmt.Errorf("--role %s: want gateway, worker, projector or operator", role)
		}
	}
	for _, r := range kafkalog.Rights(c.Prefix, app.Group) {
		if len(c.Role) == 0 || slices.Contains(c.Role, string(r.Role)) {
			rights = append(rights, r)
		}
	}
	user := func(role kafkalog.Role) string { return replaceRole(c.User, string(role)) }
	if c.Apply {
		if err := c.Grant(ctx, c.Topics, rights, user, log); err != nil {
			return err
		}
		fmt.Printf("Given: %d rights.\n", len(rights))
		return nil
	}
	for _, r := range rights {
		command := r.KafkaCommand(c.Brokers.Brokers, user(r.Role))
		if c.Tool == "rpk" {
			command = r.RedpandaCommand(user(r.Role))
		}
		fmt.Println(command)
	}
	return nil
}
