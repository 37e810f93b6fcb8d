package kafkalog

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/actorlog/actorlog/eventlog"
)

// Role is a program as the brokers should know it: each has a user of its own.
type Role string

// The roles.
const (
	RoleGateway   Role = "gateway"
	RoleWorker    Role = "worker"
	RoleProjector Role = "projector"
	// RoleOperator is who makes topics and runs the commands that look and repair.
	RoleOperator Role = "operator"
)

// Roles lists all.
func Roles() []Role { return []Role{RoleGateway, RoleWorker, RoleProjector, RoleOperator} }

// Right is an access that a role needs: operations on one resource.
type Right struct {
	Role       Role
	Resource   kmsg.ACLResourceType
	Name       string
	Prefixed   bool // Name is what names begin with
	Operations []kmsg.ACLOperation
}

// Rights is the least that each role needs on topics of a prefix, and not one more: a gateway cannot write outcomes, nobody but workers can. Since Kafka 3.0, Write
// on a topic includes to do so idempotently.
func Rights(prefix, group string) []Right {
	const (
		read, write, describe = kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe
		configs, create       = kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationCreate
	)
	var all []Right
	topics := func(role Role, operations map[eventlog.Topic][]kmsg.ACLOperation) {
		for _, t := range eventlog.Topics() {
			ops := append([]kmsg.ACLOperation{describe, configs}, operations[t]...)
			all = append(all, Right{Role: role, Resource: kmsg.ACLResourceTypeTopic, Name: prefix + "." + t.String(), Operations: ops})
		}
	}
	topics(RoleGateway, map[eventlog.Topic][]kmsg.ACLOperation{
		eventlog.Actions: {write}, eventlog.Events: {read}, eventlog.Gateways: {write},
		eventlog.Snapshots: {read}, // what is parked is in checkpoints
	})
	topics(RoleWorker, map[eventlog.Topic][]kmsg.ACLOperation{
		eventlog.Actions: {read, write}, eventlog.Events: {read, write}, eventlog.Snapshots: {read, write}, eventlog.Gateways: {read},
	})
	all = append(all,
		Right{Role: RoleWorker, Resource: kmsg.ACLResourceTypeTransactionalId, Name: prefix + ".snapshots.", Prefixed: true, Operations: []kmsg.ACLOperation{describe, write}},
		Right{Role: RoleWorker, Resource: kmsg.ACLResourceTypeGroup, Name: prefix + "." + group, Operations: []kmsg.ACLOperation{describe, read}},
	)
	topics(RoleProjector, map[eventlog.Topic][]kmsg.ACLOperation{eventlog.Events: {read}})
	topics(RoleOperator, map[eventlog.Topic][]kmsg.ACLOperation{
		eventlog.Actions: {read, write, create}, eventlog.Events: {read, create}, eventlog.Snapshots: {read, create}, eventlog.Gateways: {read, create},
	})
	return all
}

// named is how tools call an operation or a resource: IdempotentWrite is what kmsg calls IDEMPOTENT_WRITE.
func named(text string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(text, "_") {
		b.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return b.String()
}

// KafkaCommand is the right for a user as a command of Apache Kafka's kafka-acls.sh.
func (r Right) KafkaCommand(brokers []string, user string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "kafka-acls.sh --bootstrap-server %s --command-config admin.properties --add --allow-principal User:%s", strings.Join(brokers, ","), user)
	for _, op := range r.Operations {
		fmt.Fprintf(&b, " --operation %s", named(op.String()))
	}
	flag := map[kmsg.ACLResourceType]string{
		kmsg.ACLResourceTypeTopic: "topic", kmsg.ACLResourceTypeGroup: "group", kmsg.ACLResourceTypeTransactionalId: "transactional-id",
	}[r.Resource]
	fmt.Fprintf(&b, " --%s %s", flag, r.Name)
	if r.Prefixed {
		b.WriteString(" --resource-pattern-type prefixed")
	}
	return b.String()
}

// RedpandaCommand is the right for a user as a command of Redpanda's rpk.
func (r Right) RedpandaCommand(user string) string {
	ops := make([]string, len(r.Operations))
	for i, op := range r.Operations {
		ops[i] = strings.ToLower(op.String())
	}
	flag := map[kmsg.ACLResourceType]string{
		kmsg.ACLResourceTypeTopic: "topic", kmsg.ACLResourceTypeGroup: "group", kmsg.ACLResourceTypeTransactionalId: "transactional-id",
	}[r.Resource]
	command := fmt.Sprintf("rpk security acl create --allow-principal User:%s --operation %s --%s %s", user, strings.Join(ops, ","), flag, r.Name)
	if r.Prefixed {
		command += " --resource-pattern-type prefixed"
	}
	return command
}

// Grant has the brokers give rights, to the user that each role has. It needs Alter on the cluster.
func Grant(ctx context.Context, cfg Config, rights []Right, user func(Role) string) error {
	cfg.setDefaults()
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("granting rights: %w", err)
	}
	cl, err := kgo.NewClient(cfg.clientOptions()...)
	if err != nil {
		return fmt.Errorf("granting rights: %w", err)
	}
	defer cl.Close()
	req := kmsg.NewPtrCreateACLsRequest()
	for _, r := range rights {
		for _, op := range r.Operations {
			c := kmsg.NewCreateACLsRequestCreation()
			c.ResourceType, c.ResourceName, c.ResourcePatternType = r.Resource, r.Name, kmsg.ACLResourcePatternTypeLiteral
			if r.Prefixed {
				c.ResourcePatternType = kmsg.ACLResourcePatternTypePrefixed
			}
			c.Principal, c.Host, c.Operation, c.PermissionType = "User:"+user(r.Role), "*", op, kmsg.ACLPermissionTypeAllow
			req.Creations = append(req.Creations, c)
		}
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("granting rights: %w", err)
	}
	for i, result := range resp.Results {
		if err := kerr.ErrorForCode(result.ErrorCode); err != nil {
			why := ""
			if result.ErrorMessage != nil {
				why = " (" + *result.ErrorMessage + ")"
			}
			return fmt.Errorf("granting %s on %s: %w%s: it takes an authorizer at the brokers, and Alter on the cluster", req.Creations[i].Operation, req.Creations[i].ResourceName, err, why)
		}
	}
	return nil
}
